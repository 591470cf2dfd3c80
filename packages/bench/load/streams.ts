/** The witnesses of one load thread: what was written to each register and log, and when. */
import { OUTCOME } from './verdict.ts';

export type StreamKind = 'register' | 'log';

const FIRST_CAPACITY = 256;

export class Stream {
  readonly kind: StreamKind;
  readonly key: Buffer;
  last = 0;
  /** Writes on the way: a cluster-aware writer keeps at most one, or a redirect reorders them. */
  inFlight = 0;
  outcomes = new Uint8Array(FIRST_CAPACITY);
  /** Registers: the version that write n replaced. */
  previous = new Float64Array(FIRST_CAPACITY);
  /** Milliseconds since 1970. */
  sentAt = new Float64Array(FIRST_CAPACITY);
  endedAt = new Float64Array(FIRST_CAPACITY);
  /** Connection number, counted up with each reconnect. */
  connection = new Uint32Array(FIRST_CAPACITY);

  constructor(kind: StreamKind, key: Buffer) {
    this.kind = kind;
    this.key = key;
  }

  next(): number {
    this.last += 1;
    if (this.last >= this.outcomes.length) this.grow();
    return this.last;
  }

  sent(n: number, at: number, connection: number): void {
    this.sentAt[n] = at;
    this.connection[n] = connection;
  }

  ended(n: number, outcome: number, at: number, previous = 0): void {
    this.outcomes[n] = outcome;
    this.endedAt[n] = at;
    this.previous[n] = previous;
  }

  /** What never left this process did not happen. */
  neverSent(n: number): void {
    this.outcomes[n] = OUTCOME.refused;
  }

  private grow(): void {
    const size = this.outcomes.length * 2;
    this.outcomes = enlarge(this.outcomes, new Uint8Array(size));
    this.previous = enlarge(this.previous, new Float64Array(size));
    this.sentAt = enlarge(this.sentAt, new Float64Array(size));
    this.endedAt = enlarge(this.endedAt, new Float64Array(size));
    this.connection = enlarge(this.connection, new Uint32Array(size));
  }
}

function enlarge<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from);
  return to;
}
