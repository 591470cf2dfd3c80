/** Events of the workers, for whoever listens; what came before anybody did is told then. */
import type { Event } from '../../endpoint/control-protocol.ts';

type Listener = (event: Event) => void;

export class Outlet {
  readonly #listeners: Listener[] = [];
  /** From adopted workers while we start; each of them keeps a bounded number. */
  readonly #unheard: Event[] = [];

  tell(event: Event): void {
    if (this.#listeners.length === 0) this.#unheard.push(event);
    for (const listener of this.#listeners) listener(event);
  }

  listen(listener: Listener): void {
    this.#listeners.push(listener);
    for (const event of this.#unheard.splice(0)) listener(event);
  }
}
