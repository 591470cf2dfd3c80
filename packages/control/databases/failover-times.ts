/**
 * How long each part of a failover took: kept in memory while it runs, said in one event when the
 * endpoint serves again. A failover that a restart of this process interrupts has no such event: its
 * parts were timed by two clocks.
 */

/** In their order. Each is the moment at which that part was done. */
export const PARTS = {
  alarm: 'the first sign',
  fenced: 'known to be dead',
  drained: 'the replica has read everything',
  decided: 'the decision is recorded',
  promoted: 'the replica was told and says it is primary',
  served: 'recorded as serving',
  published: 'every endpoint worker sends there',
} as const;
export type Part = keyof typeof PARTS;

export class FailoverTimes {
  readonly #running = new Map<number, Map<Part, number>>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** The first sign that something is wrong with the primary of this shard. */
  alarm(shard: number): void {
    if (!this.#running.has(shard)) this.#running.set(shard, new Map([['alarm', this.#now()]]));
  }

  falseAlarm(shard: number): void {
    this.#running.delete(shard);
  }

  /** Of a part that is repeated the last time counts. */
  mark(shard: number, part: Part): void {
    this.#running.get(shard)?.set(part, this.#now());
  }

  /** Shards that the endpoint serves again. */
  over(): number[] {
    return [...this.#running].flatMap(([shard, marks]) => (marks.has('published') ? [shard] : []));
  }

  get any(): boolean {
    return this.#running.size > 0;
  }

  /** Whether one runs whose first sign is younger than this. */
  anyWithin(ms: number): boolean {
    for (const marks of this.#running.values()) {
      if (this.#now() - (marks.get('alarm') ?? 0) < ms) return true;
    }
    return false;
  }

  /** It is over: whole milliseconds from the first sign to the end of each part. */
  end(shard: number): Partial<Record<Part, number>> {
    const marks = this.#running.get(shard) ?? new Map<Part, number>();
    this.#running.delete(shard);
    const began = marks.get('alarm') ?? 0;
    const after: Partial<Record<Part, number>> = {};
    for (const [part, at] of marks) if (part !== 'alarm') after[part] = Math.round(at - began);
    return after;
  }
}
