/** How pipelines and transactions of a node-redis client are run on a lane's connection. */
import { performance } from 'node:perf_hooks';
import { UnknownOutcomeError } from '../errors.ts';
import type { Calling, Chain } from '../lanes/call.ts';
import type { Pool } from '../lanes/pool.ts';
import { kCalling, kChain } from './face.ts';
import { batchAsKnown, LibraryBatch, LinkBatch } from './node-redis-batch.ts';
import type { NodeLaneParts } from './node-redis-call.ts';
import {
  type CommandOptions,
  isErrorReply,
  type MultiPart,
  type NodeClient,
} from './node-redis-shape.ts';

export function runOnLink(
  view: NodeClient,
  pool: Pool,
  kind: 'MULTI' | 'pipeline',
  commands: readonly MultiPart[],
): Promise<unknown> {
  const options = view._commandOptions;
  const parts = commands.map(({ args }) => args);
  const batch = new LinkBatch(kind, parts, options, callingOf(options ?? {}), pool, (all, lane) => {
    if (kind === 'pipeline') return all;
    const executed = all[all.length - 1];
    if (executed !== null) return executed;
    const { client } = lane.raw as NodeLaneParts;
    return watchError(client, 'One (or more) of the watched keys has been changed');
  });
  pool.submitBatch(batch);
  return batch.promise;
}

/** What a transaction fails with because of WATCH: of a class that only the library has. */
export function watchError(client: NodeClient, message: string): Promise<unknown> {
  client.setDirtyWatch(message);
  return Object.getPrototypeOf(client)._executeMulti.call(client, []);
}

/** By the library's own method, and its queue. */
export function runInLibrary(
  view: NodeClient,
  pool: Pool,
  label: string,
  commands: readonly MultiPart[],
  run: (client: NodeClient) => Promise<unknown>,
): Promise<unknown> {
  const options = view._commandOptions;
  const chain = options?.[kChain] as Chain | undefined;
  const parts = commands.map(({ args }) => args);
  const batch: LibraryBatch = new LibraryBatch(
    label,
    parts,
    callingOf(options ?? {}),
    chain,
    async (lane) => {
      const { client, link } = lane.raw as NodeLaneParts;
      const on: NodeClient = Object.create(client);
      on._commandOptions = options;
      try {
        const replies = await link.bound.run(
          () => run(on),
          (cause) => Promise.reject(cause),
        );
        pool.breaker?.succeeded(performance.now());
        return replies;
      } catch (error) {
        // What the server or the library says about the batch itself is passed on as it is.
        if (isErrorReply(error)) throw batchAsKnown(error, batch);
        if (!isConnectionError(error) && !pool.closed) throw error;
        throw new UnknownOutcomeError(label, batch.keys()[0], error);
      } finally {
        for (const call of batch.calls) pool.release(call, lane);
      }
    },
  );
  pool.submitBatch(batch);
  return batch.promise;
}

const ofTheConnection = new Set([
  'SocketClosedUnexpectedlyError',
  'DisconnectsClientError',
  'ClientClosedError',
  'SocketTimeoutError',
  'ConnectionTimeoutError',
]);

export function isConnectionError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ofTheConnection.has(error.constructor.name) || ('code' in error && 'syscall' in error);
}

export function callingOf(options: CommandOptions): Calling | undefined {
  const calling = options[kCalling] as Calling | undefined;
  const signal = options.abortSignal;
  return signal instanceof AbortSignal ? { ...calling, signal } : calling;
}
