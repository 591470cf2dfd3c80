/**
 * How long the files of an orderly stop may take, and how many are written at once.
 *
 * A fixed deadline is too long for an empty cache whose disk hangs and too short for a large one: by
 * it, a cache that a slow disk cannot take in two minutes could never be stopped in order. So it grows
 * with the data. All files go to one disk, so what the others have to write counts too; and they take
 * turns, because a dozen writers on one disk end later than four, all at the same late moment.
 */
import { SAVE_DEADLINE_MS, SAVE_SLOWEST_BYTES_MS, SAVES_AT_ONCE, STOP_PAUSE_MS } from './limits.ts';

export class SaveTurns {
  /** Of one file, from when its turn comes. */
  readonly deadlineMs: number;
  /** How long writes wait: until the last file is written. */
  readonly pauseMs: number;
  #free = SAVES_AT_ONCE;
  readonly #waiting: (() => void)[] = [];

  /** `bytes`: of everything that is to be saved. */
  constructor(bytes: number) {
    this.deadlineMs = SAVE_DEADLINE_MS + writingMs(bytes);
    this.pauseMs = STOP_PAUSE_MS + writingMs(bytes);
  }

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    // Whoever ends hands its turn on.
    else await new Promise<void>((turn) => this.#waiting.push(turn));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}

/** What a slow disk takes to write so much. */
export function writingMs(bytes: number): number {
  return Math.ceil(bytes / SAVE_SLOWEST_BYTES_MS);
}
