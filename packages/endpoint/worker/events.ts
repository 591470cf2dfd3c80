/**
 * Events on their way to the control process. It may be away or slow, and the data path must not
 * wait for it: what it does not take is kept in a ring, the oldest are dropped and counted, and the
 * count is said when it listens again.
 */
import type { Event } from '../control-protocol.ts';
import { EVENTS_KEPT } from '../limits.ts';

export class EventRing {
  readonly #send: (event: Event) => boolean;
  readonly #kept: Event[] = [];
  #dropped = 0;

  /** `send` answers false when nobody can take the event now. */
  constructor(send: (event: Event) => boolean) {
    this.#send = send;
  }

  emit(event: Event): void {
    if (this.#kept.length === 0 && this.#dropped === 0 && this.#send(event)) return;
    this.#kept.push(event);
    if (this.#kept.length <= EVENTS_KEPT) return;
    this.#kept.splice(0, EVENTS_KEPT / 8);
    this.#dropped += EVENTS_KEPT / 8;
  }

  /** Called when somebody listens (again). */
  flush(): void {
    if (this.#dropped > 0) {
      const said = this.#send({
        type: 'event',
        at: Date.now(),
        kind: 'limit',
        database: '',
        limit: 'events-dropped',
        detail: `${this.#dropped} events were dropped while nobody took them`,
      });
      if (!said) return;
      this.#dropped = 0;
    }
    let sent = 0;
    for (const event of this.#kept) {
      if (!this.#send(event)) break;
      sent += 1;
    }
    this.#kept.splice(0, sent);
  }
}
