/** MULTI ... EXEC or a pipeline of node-redis: its parts share a lane and a fate. */
import { performance } from 'node:perf_hooks';
import { Call, type Calling, type Chain } from '../lanes/call.ts';
import type { Lane } from '../lanes/lane.ts';
import { firstDeadline, type Placeable } from '../lanes/placeable.ts';
import { asKnown } from '../lanes/unknown.ts';
import type { RedisArgument } from './node-redis-shape.ts';

export class NodeBatch implements Placeable {
  readonly label: string;
  readonly calls: readonly Call[];
  readonly bytesOut: number;
  readonly read: boolean;
  readonly place: Call['place'];
  readonly chain: Chain | undefined;
  readonly queuedAt: number;
  readonly promise: Promise<unknown>;
  settled = false;
  asked = 0;
  readonly #run: (lane: Lane) => Promise<unknown>;
  #resolve: (reply: unknown) => void = noop;
  #reject: (error: unknown) => void = noop;

  constructor(
    label: string,
    commands: readonly (readonly RedisArgument[])[],
    calling: Calling | undefined,
    chain: Chain | undefined,
    run: (lane: Lane) => Promise<unknown>,
    place?: Call['place'],
  ) {
    this.calls = commands.map((args) => new PartCall(args, calling, this));
    this.label = `${label} of ${commands.length}`;
    this.bytesOut = this.calls.reduce((sum, call) => sum + call.bytesOut, 0);
    this.read = this.calls.every((call) => call.read);
    this.place =
      place ?? (this.calls.some((call) => call.place === 'barrier') ? 'barrier' : 'data');
    this.chain = chain;
    for (const call of this.calls) call.chain = chain;
    this.queuedAt = this.calls[0]?.queuedAt ?? 0;
    this.#run = run;
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

  send(lane: Lane): void {
    // The library does not say when it writes them: from now on they may run.
    const now = performance.now();
    for (const call of this.calls) call.writtenAt = now;
    this.#run(lane).then(
      (reply) => {
        if (this.settled) return;
        this.settled = true;
        for (const call of this.calls) call.settled = true;
        this.#resolve(reply);
      },
      (error: unknown) => this.fail(error),
    );
  }

  fail(error: unknown): void {
    if (this.settled) return;
    this.settled = true;
    for (const call of this.calls) {
      call.settled = true;
      call.unheed();
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
    replies[index] = asKnown(reply, batch.calls[index] ?? unseen);
  }
  return error;
}

/** A cluster client's batch: what is in it is the library's secret. */
const unseen = { name: 'a command', key: undefined, read: false };

/** One command of a batch: stands for its keys and bytes; settles nothing by itself. */
class PartCall extends Call {
  readonly #batch: NodeBatch;

  constructor(args: readonly RedisArgument[], calling: Calling | undefined, batch: NodeBatch) {
    super(String(args[0]), args, 1, calling);
    this.inTransaction = true;
    this.#batch = batch;
  }

  override send(): void {}
  override succeed(): void {}
  override twin(): Call {
    throw new Error('a part of a batch has no life of its own');
  }
  override fail(error: unknown): void {
    this.#batch.fail(error);
  }
}

function noop(): void {}
