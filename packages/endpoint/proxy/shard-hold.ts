/** The hold of a shard: nothing new is sent until it ends, and who asked is told when all is quiet. */
import { HoldExpired } from '../data-path.ts';
import type { Shard } from './shard.ts';
import { takeBack } from './succession.ts';

interface Hold {
  readonly resolve: (() => void)[];
  readonly reject: ((error: Error) => void)[];
  timer: NodeJS.Timeout;
}

export class ShardHold {
  readonly #shard: Shard;
  #hold: Hold | null = null;

  constructor(shard: Shard) {
    this.#shard = shard;
  }

  get active(): boolean {
    return this.#hold !== null;
  }

  /** A second one only moves the deadline. */
  begin(deadlineAt: number): Promise<void> {
    const ms = Math.max(0, deadlineAt - performance.now());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#expire(), ms);
      if (this.#hold === null) this.#hold = { resolve: [], reject: [], timer };
      else {
        clearTimeout(this.#hold.timer);
        this.#hold.timer = timer;
      }
      this.#hold.resolve.push(resolve);
      this.#hold.reject.push(reject);
      this.check();
    });
  }

  /** To be called when something was answered or lost. */
  check(): void {
    const hold = this.#hold;
    if (hold === null || hold.resolve.length === 0 || this.#shard.inFlight > 0) return;
    for (const resolve of hold.resolve.splice(0)) resolve();
    hold.reject.length = 0;
  }

  /** False: there was none. */
  end(): boolean {
    const hold = this.#hold;
    if (hold === null) return false;
    clearTimeout(hold.timer);
    this.#hold = null;
    for (const resolve of hold.resolve) resolve();
    return true;
  }

  #expire(): void {
    const hold = this.#hold;
    if (hold === null) return;
    this.#hold = null;
    const { id, world, inFlight } = this.#shard;
    const error = new HoldExpired(id, inFlight);
    for (const reject of hold.reject) reject(error);
    world.reached('hold-expired', `shard ${id} was held until its deadline and goes on`);
    takeBack(this.#shard);
    this.#shard.wakeAll();
  }
}
