/**
 * Virtual time: nothing happens but what is due next, and between two things all promises settle. The
 * time of day is set to something else now and then, as administrators and virtual machines do it.
 */
import type { Clock } from '../databases/clock.ts';
import type { Random } from './random.ts';

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly call: () => void;
}

const SET_CHANCE = 0.002;
const SET_BY_MS = 3_600_000;

export class SimClock implements Clock {
  readonly #hands: Random;
  #now = 1_000_000;
  #shift = 0;
  #order = 0;
  #timers: Timer[] = [];

  /** `hands`: of whoever sets the time of day. */
  constructor(hands: Random) {
    this.#hands = hands;
  }

  now(): number {
    return this.#now + this.#shift;
  }

  ticks(): number {
    return this.#now;
  }

  /** Time passes and nobody acts: this process is held up. */
  pass(ms: number): void {
    this.#now += ms;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((done) => this.later(ms, done));
  }

  later(ms: number, call: () => void): { cancel(): void } {
    const timer: Timer = { at: this.#now + Math.max(0, ms), order: this.#order++, call };
    let at = this.#timers.length;
    while (at > 0 && comesAfter(this.#timers[at - 1], timer)) at--;
    this.#timers.splice(at, 0, timer);
    return {
      cancel: () => {
        const index = this.#timers.indexOf(timer);
        if (index >= 0) this.#timers.splice(index, 1);
      },
    };
  }

  /** Runs the next timer and lets everything settle that follows from it; false when none is left. */
  async step(): Promise<boolean> {
    const timer = this.#timers.shift();
    if (timer === undefined) return false;
    this.#now = Math.max(this.#now, timer.at);
    if (this.#hands.chance(SET_CHANCE)) this.#shift = this.#hands.between(-SET_BY_MS, SET_BY_MS);
    timer.call();
    await new Promise((done) => setImmediate(done));
    return true;
  }
}

function comesAfter(a: Timer | undefined, b: Timer): boolean {
  return a !== undefined && (a.at > b.at || (a.at === b.at && a.order > b.order));
}
