/**
 * One beat for all watches: twenty engines are asked in one waking of this process instead of in
 * twenty. It also tells how late this process is itself: silence that was seen while we were late
 * proves nothing about others (engine rule 7).
 */
import type { Clock } from './clock.ts';
import { BEAT_MS } from './limits.ts';

/** `beat` counts from 0; every watch sees the same number. */
export type Beating = (beat: number) => void;

export class Heart {
  readonly #clock: Clock;
  readonly #beating = new Set<Beating>();
  #timer: { cancel(): void } | null = null;
  #count = 0;
  #lateMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** By how much the last beat was late. */
  get lateMs(): number {
    return this.#lateMs;
  }

  start(): void {
    const due = this.#clock.ticks() + BEAT_MS;
    this.#timer = this.#clock.later(BEAT_MS, () => {
      this.#lateMs = Math.max(0, this.#clock.ticks() - due);
      this.start();
      const beat = this.#count++;
      for (const each of this.#beating) each(beat);
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  add(each: Beating): void {
    this.#beating.add(each);
  }

  remove(each: Beating): void {
    this.#beating.delete(each);
  }
}
