/**
 * One command of the application on its way through the kit: from the moment it was asked for until
 * its promise is settled, over however many connections that takes.
 */
import { performance } from 'node:perf_hooks';
import { factsOf, firstKey, keysOf, keyText, placeOf, requestBytes } from '../commands/keys.ts';
import type { CommandFacts, Place } from '../commands/table.ts';
import { shown } from '../telemetry/explain.ts';
import type { ReplyInto } from '../wire/diversion.ts';
import type { Sent } from '../wire/wire.ts';
import type { Lane } from './lane.ts';
import type { Placeable } from './placeable.ts';

/** What `calling()` says about the calls made through it. */
export interface Calling {
  /** Ends the call; what is written and not answered is then unknown. */
  readonly signal?: AbortSignal;
  /** Instead of the deadline of the command's class. */
  readonly deadlineMs?: number;
  /** The call may be made twice: after a lost connection it is repeated, not reported as unknown. */
  readonly idempotent?: boolean;
  /** All calls through this view go over one lane while any is pending: the order of a plain client. */
  readonly inOrder?: boolean;
  /** The reply (or request) is large: use a bulk lane at once. */
  readonly large?: boolean;
}

/** Calls that follow each other on one lane: see `Calling.inOrder`. */
export interface Chain {
  lane: Lane | undefined;
  pending: number;
  /** Of the last call of it that went to a lane; see `Call.turn`. */
  turn: number;
}

let upcoming: ReplyInto | undefined;

/**
 * The call that `run` makes, at once, has its reply put into `into`. Its promise is then fulfilled with an
 * empty string; with the reply itself where the reply could not be diverted (an error, null, another way).
 */
export function callInto<T>(into: ReplyInto | undefined, run: () => T): T {
  upcoming = into;
  try {
    return run();
  } finally {
    upcoming = undefined;
  }
}

export abstract class Call implements Sent, Placeable {
  readonly name: string;
  readonly key: string | undefined;
  readonly facts: CommandFacts;
  place: Place;
  readonly args: readonly unknown[];
  /** Where the arguments after the name begin in `args`. */
  readonly from: number;
  bytesOut: number;
  queuedAt: number;
  writtenAt = 0;
  headAt = 0;
  firstByteAt = 0;
  bytesIn = 0;
  announced = 0;
  endpoint = '';

  lane: Lane | undefined;
  /** Neighbours among what is pending on the lane; see lane.ts. */
  next: Call | undefined;
  previous: Call | undefined;
  listed = false;
  /** Share of the lane's load that this call stands for. */
  weight = 0;
  /** Its keys stand in the order table. */
  tracked = false;
  settled = false;
  attempts = 0;
  asked = 0;
  /** Its place among all calls in the order in which they went to a lane. */
  turn = 0;
  deadlineAt = Number.POSITIVE_INFINITY;
  /** How long it waited for a connection before it was placed. */
  offlineMs = 0;
  large = false;
  /** Part of MULTI ... EXEC: never repeated alone. */
  inTransaction = false;
  calling: Calling | undefined;
  chain: Chain | undefined;
  onAbort: (() => void) | undefined;
  /** The server's answer is an error; its text may be known later. */
  unreadError = false;
  failure: unknown;
  /** Those who listen were told of its end. */
  told = false;
  /** Its caller no longer waits, and its connection ends: this is its error if no reply comes before. */
  givenUp: unknown;
  readonly into = upcoming;

  /** `spelling`: the command's name in any case. */
  constructor(
    spelling: string,
    args: readonly unknown[],
    from: number,
    calling: Calling | undefined,
  ) {
    const facts = factsOf(spelling);
    const { name } = facts;
    this.name = name;
    this.args = args;
    this.from = from;
    this.facts = facts;
    this.place =
      facts.place === 'data' && facts.keys === 'one' ? 'data' : placeOf(name, facts, args, from);
    const key = firstKey(facts, args, from);
    this.key = key === undefined ? undefined : typeof key === 'string' ? key : keyText(key);
    this.bytesOut = requestBytes(name, args, from);
    this.queuedAt = performance.now();
    this.calling = calling;
  }

  /** Every key; only asked for while several lanes are in use. */
  keys(): readonly string[] {
    if (this.key === undefined) return [];
    const spec = this.facts.keys;
    return spec === 'one' || spec === 'second'
      ? [this.key]
      : keysOf(this.facts, this.args, this.from);
  }

  get label(): string {
    // CLIENT REPLY and CLIENT SETNAME are two things.
    if (this.name === 'client') return `CLIENT ${shown(keyText(this.args[this.from] ?? ''))}`;
    return this.key === undefined
      ? this.name.toUpperCase()
      : `${this.name.toUpperCase()} ${shown(this.key)}`;
  }

  get read(): boolean {
    return this.facts.read;
  }

  /** As a batch of one; the hot paths look at the call itself. */
  get calls(): readonly Call[] {
    return [this];
  }

  /** May it be made again after an unknown outcome? */
  get repeatable(): boolean {
    return (this.facts.read || this.calling?.idempotent === true) && !this.inTransaction;
  }

  /** Whatever its connection's end does to it, this is why. */
  giveUp(error: unknown): void {
    this.givenUp = error;
  }

  /** Its caller's signal is no longer listened to. */
  unheed(): void {
    if (this.onAbort === undefined) return;
    this.calling?.signal?.removeEventListener('abort', this.onAbort);
    this.onAbort = undefined;
  }

  /** Hands it to the lane's client. Called again for a retry. */
  abstract send(lane: Lane): void;
  /** Settles the application's promise; the first one counts. */
  abstract succeed(reply: unknown): void;
  abstract fail(error: unknown): void;
  /** Its reply becomes what `rest` makes of it. Where replies are of several connections already: not so. */
  combine(_rest: (reply: unknown) => Promise<unknown>): void {}
  /** A copy of a read, to be sent on another lane; whoever answers first settles. */
  abstract twin(): Call;
}
