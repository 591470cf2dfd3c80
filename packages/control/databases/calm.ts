/**
 * Who waits for whom on a small machine. A starting engine takes a core for a tenth of a second, and a
 * switch, from the hold to the word that lets clients go on, takes ten milliseconds of one: side by
 * side the switch takes several times as long, and all clients of its shard with it. So no engine is
 * started while clients wait for a shard, whosever, and no planned switch begins while one is starting.
 * Both waits are bounded: what never becomes calm must not stop anybody.
 */
import type { Clock } from './clock.ts';
import type { FailoverTimes } from './failover-times.ts';
import { CALM_POLL_MS, CALM_WITHIN_MS, STARTING_MS } from './limits.ts';

/** What it looks at of a database. */
interface Loop {
  readonly pausing: ReadonlySet<number>;
  readonly times: Pick<FailoverTimes, 'anyWithin'>;
  sighting(instance: string): { readonly condition: string } | null;
}

export class Calm {
  readonly #clock: Clock;
  readonly #loops: () => Iterable<Loop>;
  /** Engines that did not answer yet when somebody asked, and since when they start. */
  readonly #starting = new Map<string, number>();

  constructor(clock: Clock, loops: () => Iterable<Loop>) {
    this.#clock = clock;
    this.#loops = loops;
  }

  starts(instance: string): void {
    this.#starting.set(instance, this.#clock.ticks());
  }

  /** Null: nobody waits, go on at once. */
  beforeStart(): Promise<void> | null {
    return this.#clientsWait() ? this.#until(() => !this.#clientsWait()) : null;
  }

  /** Null: no engine is starting. */
  beforeSwitch(): Promise<void> | null {
    return this.#anyStarts() ? this.#until(() => !this.#anyStarts()) : null;
  }

  /** For the next primary of any shard; one that waits for long waits for something else than a core. */
  #clientsWait(): boolean {
    return this.#any((loop) => loop.pausing.size > 0 || loop.times.anyWithin(CALM_WITHIN_MS));
  }

  #answers(instance: string): boolean {
    return this.#any((loop) => loop.sighting(instance)?.condition === 'answering');
  }

  #any(is: (loop: Loop) => boolean): boolean {
    for (const loop of this.#loops()) if (is(loop)) return true;
    return false;
  }

  #anyStarts(): boolean {
    const now = this.#clock.ticks();
    for (const [instance, since] of this.#starting) {
      // One that hangs is not waited for.
      if (now - since <= STARTING_MS && !this.#answers(instance)) continue;
      this.#starting.delete(instance);
    }
    return this.#starting.size > 0;
  }

  async #until(calm: () => boolean): Promise<void> {
    const deadline = this.#clock.ticks() + CALM_WITHIN_MS;
    do await this.#clock.sleep(CALM_POLL_MS);
    while (!calm() && this.#clock.ticks() < deadline);
  }
}
