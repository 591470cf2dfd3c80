/**
 * A pipeline (or MULTI ... EXEC) of ioredis: goes to one lane as a whole, in one piece. Its commands
 * are calls of their own all the same, so that a lost connection gives each its own fate: a read is
 * made again, a write of unknown outcome says so, in its own place of the result.
 */

import type { Call, Calling, Chain } from '../lanes/call.ts';
import type { Lane } from '../lanes/lane.ts';
import { firstDeadline, type Placeable } from '../lanes/placeable.ts';
import { IoCall } from './ioredis-call.ts';
import type { Redirect, Routed } from './ioredis-routed.ts';
import type { IoCommand, IoRedis } from './ioredis-shape.ts';

/** The way of a lane whose client has several connections; see ioredis-route.ts. */
interface Route {
  dispatch(batch: IoBatch): void;
}

/** What a pipeline takes for its client: of that it uses little. */
export type PipelineClient = object;

const transactional = new Set(['multi', 'exec', 'discard', 'watch', 'unwatch']);

export class IoBatch implements Placeable {
  readonly label: string;
  readonly calls: IoCall[];
  readonly bytesOut: number;
  readonly read: boolean;
  readonly place: Call['place'];
  readonly chain: Chain | undefined;
  readonly queuedAt: number;
  readonly transaction: boolean;
  settled = false;
  asked = 0;
  /** Over a cluster client: its way to the node of its slot. */
  routed: Routed | undefined;
  /** It was sent. */
  begun = false;
  /** Why a node refused a part of it, which goes nowhere then. */
  redirect: Redirect | undefined;
  /** One transaction and nothing else, by whose last command all of it runs, or nothing. */
  readonly whole: boolean;
  readonly #calling: Calling | undefined;
  readonly #run: (lane: Lane, client: PipelineClient) => void;
  readonly #refuse: (error: unknown) => void;

  constructor(
    commands: readonly IoCommand[],
    calling: Calling | undefined,
    chain: Chain | undefined,
    run: (lane: Lane, client: PipelineClient) => void,
    refuse: (error: unknown) => void,
  ) {
    this.calls = commands.map((command) => new IoCall(command, calling));
    const transaction = commands[0]?.name === 'multi';
    this.transaction = transaction;
    this.whole = transaction && commands.every(isInside);
    for (const call of this.calls) {
      if (transaction || transactional.has(call.name)) call.inTransaction = true;
      call.chain = chain;
    }
    this.label = `${transaction ? 'MULTI' : 'pipeline'} of ${commands.length}`;
    this.bytesOut = this.calls.reduce((sum, call) => sum + call.bytesOut, 0);
    this.read = this.calls.every((call) => call.read);
    this.place = this.calls.some((call) => call.place === 'barrier')
      ? 'barrier'
      : this.calls.some((call) => call.place === 'blocking')
        ? 'blocking'
        : 'data';
    this.chain = chain;
    this.queuedAt = this.calls[0]?.queuedAt ?? 0;
    this.#calling = calling;
    this.#run = run;
    this.#refuse = refuse;
  }

  get deadlineAt(): number {
    return firstDeadline(this.calls);
  }

  keys(): readonly string[] {
    return [...new Set(this.calls.flatMap((call) => call.keys()))];
  }

  send(lane: Lane): void {
    const { raw } = lane;
    if (isRoute(raw)) raw.dispatch(this);
    else this.run(lane, raw as IoRedis);
  }

  run(lane: Lane, client: PipelineClient): void {
    this.settled = true;
    this.begun = true;
    this.#run(lane, client);
  }

  /** The last of a transaction. */
  get end(): IoCall | undefined {
    const last = this.calls.at(-1);
    return last?.name === 'exec' ? last : undefined;
  }

  /** It is about to be sent once more. */
  renew(): void {
    this.settled = false;
    this.redirect = undefined;
    for (const call of this.calls) call.writtenAt = 0;
  }

  /** Of those of its calls that have none yet this is the end. */
  abandon(error: unknown): void {
    for (const call of this.calls) call.fail(error);
  }

  fail(error: unknown): void {
    if (this.settled) return;
    this.settled = true;
    for (const call of this.calls) call.fail(error);
    this.#refuse(error);
  }

  /**
   * EXEC, which the library queues when the batch is sent. The others are answered before it, and run with it:
   * so it is on the keys of all of them.
   */
  ending(command: IoCommand): IoCall {
    const call = new IoCall(command, this.#calling, this.keys());
    call.inTransaction = true;
    call.chain = this.chain;
    call.asked = this.asked;
    command.promise.catch(() => {});
    this.calls.push(call);
    return call;
  }
}

function isRoute(raw: unknown): raw is Route {
  return typeof raw === 'object' && raw !== null && 'dispatch' in raw;
}

/** At its place in a transaction and not outside of it. */
function isInside({ name }: IoCommand, at: number, all: readonly IoCommand[]): boolean {
  if (name === 'multi') return at === 0;
  if (name === 'exec') return at === all.length - 1;
  return name !== 'discard';
}
