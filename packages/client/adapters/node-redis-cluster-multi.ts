/**
 * What `multi()` of a node-redis cluster client collects, when it is executed: as a transaction one thing, as a
 * pipeline its commands. Those of a pipeline go the way of any other, on one lane and in their order, so that
 * each follows its slot and has a fate of its own; the library would send all to the node of the first key, and
 * tell what that does not take.
 */
import { factsOf, firstKey } from '../commands/keys.ts';
import type { Chain } from '../lanes/call.ts';
import type { Lane } from '../lanes/lane.ts';
import type { Pool } from '../lanes/pool.ts';
import { kChain } from './face.ts';
import { batchAsKnown } from './node-redis-batch.ts';
import { ClusterBatch, type OnNode } from './node-redis-cluster-batch.ts';
import { ClusterCall, type ClusterParts } from './node-redis-cluster-call.ts';
import type {
  CommandOptions,
  MultiPart,
  NodeClient,
  NodeCluster,
  NodeParser,
  RedisArgument,
} from './node-redis-shape.ts';

type Guard = (name: string, args: readonly unknown[], from: number) => void;

/** The library's object of collected commands takes it for its cluster client. */
export class BatchTaker {
  readonly #cluster: NodeCluster;
  readonly #options: CommandOptions | undefined;
  readonly #pool: Pool;
  readonly #guard: Guard | undefined;
  #batch: ClusterBatch | undefined;
  #pipelined = false;

  constructor(
    cluster: NodeCluster,
    options: CommandOptions | undefined,
    pool: Pool,
    guard: Guard | undefined,
  ) {
    this.#cluster = cluster;
    this.#options = options;
    this.#pool = pool;
    this.#guard = guard;
  }

  /** The library's object is executed as a transaction, which at once calls `_execute`; its replies are made the same. */
  pipelined(execute: () => Promise<unknown>): Promise<unknown> {
    this.#pipelined = true;
    try {
      return execute();
    } finally {
      this.#pipelined = false;
    }
  }

  /** `onNode` has the commands. */
  _execute(
    parser: NodeParser,
    isReadonly: boolean | undefined,
    _none: undefined,
    onNode: OnNode,
  ): Promise<unknown> {
    const commands = handedOut(onNode);
    const guard = this.#guard;
    if (guard !== undefined) for (const { args } of commands) guard(String(args[0]), args, 1);
    if (this.#pipelined) return this.#pipeline(parser.firstKey, isReadonly, commands);
    const start = (lane: Lane, run: OnNode): Promise<unknown> =>
      this.#execute(lane, parser, isReadonly, undefined, run);
    const batch = new ClusterBatch(commands, this.#options, this.#pool, start, onNode);
    this.#batch = batch;
    this.#pool.submitBatch(batch);
    return batch.promise;
  }

  /** What it failed with, of which the library has made one error of several. */
  known(error: unknown): unknown {
    return this.#batch === undefined ? error : batchAsKnown(error, this.#batch);
  }

  #pipeline(
    key: RedisArgument | undefined,
    isReadonly: boolean | undefined,
    commands: readonly MultiPart[],
  ): Promise<unknown> {
    // The library decodes them as its clients are set, whatever this object is.
    const { typeMapping: _, ...options } = this.#options ?? {};
    const chain: Chain = (options[kChain] as Chain | undefined) ?? {
      lane: undefined,
      pending: 0,
      turn: 0,
    };
    const calls = commands.map(({ args }) => {
      const own = firstKey(factsOf(String(args[0])), args, 1) as RedisArgument | undefined;
      const parser: NodeParser = { redisArgs: args, firstKey: own ?? key };
      const run = () => (client: NodeClient, more: CommandOptions) =>
        client.sendCommand(args, more);
      return new ClusterCall(
        parser,
        { ...options, [kChain]: chain },
        this.#pool,
        (lane, all, make) => this.#execute(lane, parser, isReadonly, all, make(run)(parser)),
      );
    });
    for (const call of calls) this.#pool.submit(call);
    return Promise.all(calls.map((call) => call.promise));
  }

  #execute(
    lane: Lane,
    parser: NodeParser,
    isReadonly: boolean | undefined,
    options: CommandOptions | undefined,
    run: OnNode,
  ): Promise<unknown> {
    const { cluster } = lane.raw as ClusterParts;
    const proto: NodeCluster = Object.getPrototypeOf(this.#cluster);
    return proto._execute.call(cluster, parser, isReadonly, options, run);
  }
}

function handedOut(onNode: OnNode): readonly MultiPart[] {
  let taken: readonly MultiPart[] = [];
  const client = {
    _executeMulti: (commands: readonly MultiPart[]) => {
      taken = commands;
    },
  };
  void onNode(client as unknown as NodeClient, {});
  return taken;
}
