/**
 * Settings that clients ask for, until the control plane has recorded them. It may be away for the
 * second in which another one starts: the question is then kept with the other events, and answered
 * by whoever comes.
 */
import type { DataPathHost } from '../data-path.ts';
import { SETTING_REQUESTS, SETTING_WAIT_MS } from './limits.ts';

type Done = (error: string | null) => void;

export class SettingRequests {
  readonly #host: DataPathHost;
  readonly #database: string;
  readonly #open = new Map<string, { readonly done: Done; readonly timer: NodeJS.Timeout }>();
  #count = 0;

  constructor(host: DataPathHost, database: string) {
    this.#host = host;
    this.#database = database;
  }

  ask(client: string, settings: Readonly<Record<string, string>>, done: Done): void {
    if (this.#open.size >= SETTING_REQUESTS) {
      return done('ERR config-busy: too many CONFIG SET at once; nothing was changed, try again');
    }
    // Client ids are unique over all workers.
    const serial = `${client}/${++this.#count}`;
    const late = (): void =>
      this.answered(
        serial,
        `OUTCOMEUNKNOWN config-timeout: the control plane did not answer within ${SETTING_WAIT_MS} ms; it may still make the change. Set it again`,
      );
    this.#open.set(serial, { done, timer: setTimeout(late, SETTING_WAIT_MS) });
    this.#host.emit({
      type: 'event',
      at: this.#host.now(),
      kind: 'config-set',
      database: this.#database,
      client,
      serial,
      settings,
    });
  }

  /** `error`: as a client reads it, without the first '-'. A serial of another worker is nobody's. */
  answered(serial: string, error: string | null): void {
    const request = this.#open.get(serial);
    if (request === undefined) return;
    this.#open.delete(serial);
    clearTimeout(request.timer);
    request.done(error === null ? null : error.replace(/[\r\n]+/g, ' '));
  }

  close(): void {
    for (const serial of [...this.#open.keys()]) this.answered(serial, 'ERR endpoint-closed');
  }
}
