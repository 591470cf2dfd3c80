/** MULTI ... EXEC or a pipeline of node-redis: its parts share a lane and a fate. */
import { performance } from 'node:perf_hooks';
import { UnknownOutcomeError } from '../errors.ts';
import { Call, type Calling, type Chain } from '../lanes/call.ts';
import { batchLost } from '../lanes/fate.ts';
import type { Lane } from '../lanes/lane.ts';
import { firstDeadline, type Placeable } from '../lanes/placeable.ts';
import type { Pool } from '../lanes/pool.ts';
import { asKnown } from '../lanes/unknown.ts';
import { commandChannel } from '../telemetry/channels.ts';
import { tellFailed, tellOver } from '../telemetry/tell.ts';
import { kChain } from './face.ts';
import type { NodeLaneParts } from './node-redis-call.ts';
import type { Outgoing, OutgoingBatch } from './node-redis-outgoing.ts';
import type { CommandOptions, RedisArgument } from './node-redis-shape.ts';

export abstract class NodeBatch implements Placeable {
  /** MULTI or pipeline. */
  readonly kind: string;
  readonly label: string;
  readonly calls: readonly PartCall[];
  readonly bytesOut: number;
  readonly read: boolean;
  readonly place: Call['place'];
  readonly chain: Chain | undefined;
  readonly queuedAt: number;
  readonly promise: Promise<unknown>;
  settled = false;
  asked = 0;
  #resolve: (reply: unknown) => void = noop;
  #reject: (error: unknown) => void = noop;

  constructor(
    kind: string,
    commands: readonly (readonly RedisArgument[])[],
    calling: Calling | undefined,
    chain: Chain | undefined,
    typeMapping?: unknown,
  ) {
    this.calls = commands.map((args) => new PartCall(args, calling, this, typeMapping));
    this.kind = kind;
    this.label = `${kind} of ${commands.length}`;
    this.bytesOut = this.calls.reduce((sum, call) => sum + call.bytesOut, 0);
    this.read = this.calls.every((call) => call.read);
    this.place = this.calls.some((call) => call.place === 'barrier') ? 'barrier' : 'data';
    this.chain = chain;
    for (const call of this.calls) call.chain = chain;
    this.queuedAt = this.calls[0]?.queuedAt ?? 0;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  get deadlineAt(): number {
    return firstDeadline(this.calls);
  }

  keys(): readonly string[] {
    return [...new Set(this.calls.flatMap((call) => call.keys()))];
  }

  abstract send(lane: Lane): void;

  /** The reply of one of its parts, where it is told of each. */
  answered(_reply: unknown): void {}

  succeed(reply: unknown): void {
    if (this.settled) return;
    this.settled = true;
    for (const call of this.calls) call.settled = true;
    this.#resolve(reply);
  }

  fail(error: unknown): void {
    if (this.settled) return;
    this.settled = true;
    for (const call of this.calls) {
      call.settled = true;
      call.unheed();
      tellFailed(call, error);
    }
    this.#reject(error);
  }
}

/** An error reply to a batch: its own, or one (`replies`) for each of its commands. */
export function batchAsKnown(error: unknown, batch: NodeBatch): unknown {
  const replies: unknown = Reflect.get(Object(error), 'replies');
  if (!Array.isArray(replies)) {
    return asKnown(error, { name: batch.label, key: batch.keys()[0], read: batch.read });
  }
  for (const [index, reply] of replies.entries()) {
    const call = batch.calls[index];
    if (call !== undefined) replies[index] = asKnown(reply, call);
  }
  return error;
}

/** Through the library's own queue, which does not say when it writes them, or whether it does so at all. */
export class LibraryBatch extends NodeBatch {
  readonly #run: (lane: Lane) => Promise<unknown>;

  constructor(
    kind: string,
    commands: readonly (readonly RedisArgument[])[],
    calling: Calling | undefined,
    chain: Chain | undefined,
    run: (lane: Lane) => Promise<unknown>,
  ) {
    super(kind, commands, calling, chain);
    this.#run = run;
  }

  override send(lane: Lane): void {
    // From now on they may run.
    const now = performance.now();
    for (const call of this.calls) call.writtenAt = now;
    this.#run(lane).then(
      (reply) => {
        if (commandChannel.hasSubscribers) {
          for (const call of this.calls) tellOver(call, performance.now());
        }
        this.succeed(reply);
      },
      (error: unknown) => this.fail(error),
    );
  }
}

/**
 * Written by the kit, in one piece or not at all: if the connection ends before, it is made again in its place. As with
 * the library its first error is its outcome, and it is over, for those that come after it, when all of it is answered.
 */
export class LinkBatch extends NodeBatch implements OutgoingBatch {
  readonly parts: readonly PartCall[];
  readonly #pool: Pool;
  readonly #outcome: (replies: readonly unknown[], lane: Lane) => unknown;
  #replies: unknown[] = [];
  #lane: Lane | undefined;

  /** `outcome`: what it is fulfilled with, or a promise of it. */
  constructor(
    kind: 'MULTI' | 'pipeline',
    commands: readonly (readonly RedisArgument[])[],
    options: CommandOptions | undefined,
    calling: Calling | undefined,
    pool: Pool,
    outcome: (replies: readonly unknown[], lane: Lane) => unknown,
  ) {
    const chain = options?.[kChain] as Chain | undefined;
    super(kind, commands, calling, chain, options?.typeMapping);
    const around = (name: string): PartCall => new PartCall([name], calling, this, undefined);
    this.parts = kind === 'MULTI' ? [around('MULTI'), ...this.calls, around('EXEC')] : this.calls;
    this.#pool = pool;
    this.#outcome = outcome;
  }

  override send(lane: Lane): void {
    this.#lane = lane;
    this.#replies = [];
    for (const call of this.parts) {
      call.writtenAt = 0;
      call.unreadError = false;
    }
    if (this.parts.length === 0) this.#over(lane);
    else (lane.raw as NodeLaneParts).link.enqueue(this);
  }

  override answered(reply: unknown): void {
    const lane = this.#lane;
    if (lane === undefined) return;
    this.#replies.push(reply);
    if (this.#replies.length === this.parts.length) this.#over(lane);
  }

  /** One of its parts cannot be encoded: nothing of it is written. */
  errorReply(error: Error): void {
    this.fail(error);
  }

  #over(lane: Lane): void {
    this.#lane = undefined;
    this.#pool.breaker?.succeeded(performance.now());
    this.#pool.releaseAll(this, lane);
    if (!this.settled) this.succeed(this.#outcome(this.#replies, lane));
  }

  /** The connection is gone; told for each part that was written. */
  lost(lane: Lane, written: boolean, cause: unknown): void {
    if (this.#lane !== lane) return;
    this.#lane = undefined;
    const outcome = written ? new UnknownOutcomeError(this.kind, this.keys()[0], cause) : undefined;
    batchLost(this.#pool, this, lane, cause, outcome);
  }
}

/** One command of a batch: stands for its keys and bytes; settles nothing by itself. */
export class PartCall extends Call implements Outgoing {
  readonly batch: NodeBatch;
  readonly typeMapping: unknown;

  constructor(
    args: readonly RedisArgument[],
    calling: Calling | undefined,
    batch: NodeBatch,
    typeMapping: unknown,
  ) {
    super(String(args[0]), args, 1, calling);
    this.inTransaction = true;
    this.batch = batch;
    this.typeMapping = typeMapping;
  }

  reply(reply: unknown): void {
    this.batch.answered(reply);
  }
  errorReply(error: Error): void {
    tellFailed(this, error);
    this.batch.fail(batchAsKnown(error, this.batch));
    this.batch.answered(error);
  }
  override send(): void {}
  override succeed(): void {}
  override twin(): Call {
    throw new Error('a part of a batch has no life of its own');
  }
  override fail(error: unknown): void {
    this.batch.fail(error);
  }
}

/** Which batch this is of, as its connection sees it. */
export function batchOf(item: Outgoing | OutgoingBatch): LinkBatch | undefined {
  const batch = item instanceof PartCall ? item.batch : item;
  return batch instanceof LinkBatch ? batch : undefined;
}

function noop(): void {}
