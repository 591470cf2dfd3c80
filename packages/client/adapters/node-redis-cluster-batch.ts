/**
 * MULTI ... EXEC over a node-redis cluster client, as one thing: on one lane, on one slot, run or not.
 *
 * The library's object for it hands its commands out when it is executed, and not before. So it is executed at once,
 * with the kit in the place of the cluster client, and what that is given (the commands, and how to run them on a node)
 * waits for its lane: its keys are known then, as those of any other call.
 *
 * What a node refuses did not run, whichever of its commands was refused: EXEC is refused, too. The library follows
 * MOVED and ASK with the whole of it, in its turn on the slot. TRYAGAIN (one key has gone to the next node, another
 * has not) is asked again here, alone on its slot, so that nothing that was asked for later goes before it.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { lostForGood, UnknownOutcomeError } from '../errors.ts';
import { batchLost } from '../lanes/fate.ts';
import type { Lane } from '../lanes/lane.ts';
import type { Pool } from '../lanes/pool.ts';
import { TRY_AGAIN_MS, TRY_AGAIN_TIMES } from '../limits.ts';
import { kCalling, kChain } from './face.ts';
import { batchAsKnown, NodeBatch, PartCall } from './node-redis-batch.ts';
import type { ClusterParts } from './node-redis-cluster-call.ts';
import { isConnectionError } from './node-redis-run.ts';
import {
  type CommandOptions,
  isErrorReply,
  type MultiPart,
  type NodeClient,
} from './node-redis-shape.ts';
import { Overtaken, saysTryAgain, type Turn } from './node-redis-slots.ts';
import type { Bound } from './node-redis-watched.ts';

/** On the node of its slot. */
export type OnNode = (client: NodeClient, options: CommandOptions) => Promise<unknown>;
/** The library's part: finds the node, and follows where that sends it. */
type Start = (lane: Lane, run: OnNode) => Promise<unknown>;

export class ClusterBatch extends NodeBatch implements Turn {
  /** With what is around them. */
  readonly parts: readonly PartCall[];
  readonly #pool: Pool;
  readonly #start: Start;
  readonly #onNode: OnNode;
  #lane: Lane | undefined;
  /** Of the last attempt: a node said that it was not run. */
  #refused = false;
  #bound: Bound | undefined;
  readonly several = true;
  #answers: [part: PartCall, at: number][] = [];

  constructor(
    commands: readonly MultiPart[],
    options: CommandOptions | undefined,
    pool: Pool,
    start: Start,
    onNode: OnNode,
  ) {
    const args = commands.map((command) => command.args);
    const calling = options?.[kCalling] as PartCall['calling'];
    super('MULTI', args, calling, options?.[kChain] as PartCall['chain']);
    const around = (name: string): PartCall => new PartCall([name], calling, this, undefined);
    this.parts = [around('MULTI'), ...this.calls, around('EXEC')];
    this.#pool = pool;
    this.#start = start;
    this.#onNode = onNode;
  }

  override send(lane: Lane): void {
    this.#lane = lane;
    const { order, link } = lane.raw as ClusterParts;
    this.#begin();
    const once: OnNode = (client, options) =>
      link(client).hold.after(() => this.#once(link(client).bound, client, options));
    const inTurn: OnNode = async (client, options) => {
      const { slotNumber } = options;
      if (slotNumber === undefined) return once(client, options);
      for (let times = 0; ; times += 1) {
        try {
          return await order.run(this, slotNumber, client._self, () => once(client, options));
        } catch (error) {
          if (!saysTryAgain(error) || this.settled || times === TRY_AGAIN_TIMES) throw error;
        }
        await pause(TRY_AGAIN_MS);
      }
    };
    this.#start(lane, inTurn).then(
      (reply) => {
        this.#pool.breaker?.succeeded(performance.now());
        this.#over(lane);
        order.end(this, undefined);
        this.succeed(reply);
      },
      (failure: unknown) => {
        const error = failure instanceof Overtaken ? failure.refusal : failure;
        this.#failed(error, lane);
        order.end(this, isConnectionError(error) ? error : undefined);
      },
    );
  }

  async #once(bound: Bound, client: NodeClient, options: CommandOptions): Promise<unknown> {
    if (this.settled) throw new Error('its caller has given up');
    this.#begin();
    this.#bound = bound;
    try {
      const run = (): Promise<unknown> => this.#onNode(client, options);
      return await bound.run(run, (cause) => Promise.reject(cause), this.parts);
    } catch (error) {
      this.#refused = isErrorReply(error);
      throw error;
    }
  }

  /** Another attempt: nothing of it is written. */
  #begin(): void {
    this.#answers = [];
    this.#refused = false;
    for (const part of this.parts) {
      part.writtenAt = 0;
      part.headAt = 0;
      part.firstByteAt = 0;
      part.bytesIn = 0;
      part.unreadError = false;
    }
  }

  /** By the wire. */
  partAnswered(part: PartCall, now: number): void {
    this.#answers.push([part, now]);
  }

  /** Counted as each of its commands, once, whatever way it went. */
  #over(lane: Lane): void {
    this.#lane = undefined;
    for (const [part, at] of this.#answers) this.#pool.recorder?.answered(part, lane, at);
    this.#pool.releaseAll(this, lane);
  }

  #failed(error: unknown, lane: Lane): void {
    if (this.#lane !== lane) return;
    // When it is closed the library has more words for it, from wherever it was.
    if (isConnectionError(error) || (this.#pool.closed && !isErrorReply(error))) {
      return this.#lost(error, lane);
    }
    this.#over(lane);
    this.fail(batchAsKnown(error, this));
  }

  #lost(error: unknown, lane: Lane): void {
    this.#lane = undefined;
    const pool = this.#pool;
    const [key] = this.keys();
    if (!this.#refused && (this.parts.at(-1)?.writtenAt ?? 0) > 0)
      return batchLost(pool, this, lane, error, new UnknownOutcomeError('MULTI', key, error));
    // It was written in part, and so not run. What was asked for later is in the library's queue, which it keeps.
    const overtaken = pool.overtaken.judgeAll(this.calls, pool.lanes);
    const late = lostForGood(this.label, false, 'in a transaction', error, undefined);
    batchLost(pool, this, lane, error, overtaken ? late : undefined);
  }

  override fail(error: unknown): void {
    if (this.settled) return;
    super.fail(error);
    // In one piece or not at all.
    if (this.parts[0]?.writtenAt === 0) this.#bound?.unsend(this.parts);
  }
}
