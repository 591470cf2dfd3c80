/**
 * Two connections that listen to the same names, on a primary and on its successor.
 *
 * A message that is published now comes on both, at once on one and a moment later on the other, because
 * engines pass messages on to each other. Who listens to one only, and changes at some moment, misses what
 * had come on the other alone. So whichever brings a message first is believed, and the same message on
 * the other is passed over: for each text it is counted by how many the old one is ahead.
 */
import { hash } from 'node:crypto';
import { OVERLAP_MESSAGES } from './limits.ts';

export class Overlap {
  readonly #ahead = new Map<string, number>();

  /** Whether it is new, and to be passed on. */
  brings(from: 'old' | 'new', name: string, channel: string, payload: Buffer): boolean {
    const key = `${name} ${channel} ${hash('sha1', payload)}`;
    const before = this.#ahead.get(key) ?? 0;
    const after = before + (from === 'old' ? 1 : -1);
    if (after === 0) this.#ahead.delete(key);
    else this.#ahead.set(key, after);
    return from === 'old' ? before >= 0 : before <= 0;
  }

  /** More came on one alone than may be kept. */
  get full(): boolean {
    return this.#ahead.size > OVERLAP_MESSAGES;
  }
}
