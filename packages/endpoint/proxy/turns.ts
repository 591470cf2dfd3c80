/**
 * How long one client may hold a worker with commands that are looked at one by one.
 *
 * Plain commands cost a microsecond, and what comes in one read of them is soon passed on. Commands that
 * are answered here, divided or merged cost tens, some hundreds: a pipeline of fifty thousand HELLO, read
 * 64 KB at a time, would be seconds in which nobody else is served; so would one EXEC of as many. So a
 * client with more of them in hand goes on in the next turn of the event loop, behind everybody who has
 * come meanwhile; and what it does not read is counted in between.
 */
import { TURN_COMMANDS, TURN_MS } from './limits.ts';
import type { Session } from './session.ts';

export class Turns {
  #session: Session | null = null;
  #count = 0;
  #since = 0;

  /** The event loop begins another one. */
  next(): void {
    this.#session = null;
  }

  /** One more command of this client: is it too much for this turn? */
  over(session: Session): boolean {
    if (session !== this.#session) {
      this.#session = session;
      this.#count = 0;
      this.#since = performance.now();
    }
    if (++this.#count % TURN_COMMANDS > 0 || performance.now() - this.#since < TURN_MS)
      return false;
    this.#session = null;
    return true;
  }
}
