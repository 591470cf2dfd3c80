/**
 * Two connections that listen to the same names, on a primary and on its successor, and one stream of
 * messages for clients: each once, and those of one engine in the order in which it took them.
 *
 * Engines pass messages on to each other, over a link from each to each. On a link they keep their order;
 * but they are small and the kernel puts them together, so that a message may come to one engine at once
 * and to another 40 ms later. Three simple answers fail:
 *
 * - Who listens to one engine only, and changes at some moment, misses what had come to the other alone.
 * - Who listens to both and believes whichever brings a message first, hears them in a wrong order: what
 *   came to the new one before we listened there comes with the old one's delay, behind newer ones.
 * - Who counts only from the moment when both are listened to, hears some twice: to the new one comes
 *   what the old one had brought before.
 *
 * So the old one leads at first. What it brings is passed on, what the new one brings waits until the old
 * one has brought it too. When whatever was on its way has had its time (`join`), what still waits is
 * passed on in its order, and from then on the new one's word is as good as the old one's. What the old
 * one had brought shortly before is kept for as long as it may come again; so is, when it is not listened
 * to any more, what it had brought last.
 *
 * Messages are known by their text. Where the same text comes again and again there is no telling which
 * is which: then they are counted, from the moment when both are listened to, and not looked up in what
 * was before. So none of them is lost, at worst one is heard twice.
 */
import { hash } from 'node:crypto';
import {
  BUS_LATE_MS,
  OVERLAP_BYTES,
  OVERLAP_MESSAGES,
  RECENT_BYTES,
  RECENT_MESSAGES,
} from './limits.ts';
import type { Kind } from './subscriptions.ts';

export interface Message {
  readonly kind: Kind;
  readonly name: string;
  readonly channel: string;
  readonly payload: Buffer;
}

/** What was passed on in the last moment. */
export class Recent {
  /** Milliseconds; how late something may come is about time, and a test is as slow as its machine. */
  readonly now: () => number;
  #messages: { readonly message: Message; readonly at: number }[] = [];
  #bytes = 0;

  constructor(now = () => performance.now()) {
    this.now = now;
  }

  add(message: Message): void {
    const at = this.now();
    this.#bytes += message.payload.length;
    this.#messages.push({ message, at });
    if (this.#messages.length < RECENT_MESSAGES * 2 && this.#bytes < RECENT_BYTES) return;
    this.#messages = this.read();
    this.#bytes = this.#messages.reduce((sum, each) => sum + each.message.payload.length, 0);
    if (this.#bytes < RECENT_BYTES) return;
    this.#messages = [];
    this.#bytes = 0;
  }

  read(): { readonly message: Message; readonly at: number }[] {
    const now = this.now();
    return this.#messages.slice(-RECENT_MESSAGES).filter(({ at }) => now - at < BUS_LATE_MS);
  }
}

interface Ahead {
  readonly count: number;
  /** When it was counted last; what did not come for long will not come. */
  readonly at: number;
}

interface Waiting {
  readonly key: string;
  readonly message: Message;
}

export class Overlap {
  /** By text: until when it may come again; NaN: it was there more than once. */
  readonly #before = new Map<string, number>();
  /** By text: how many more the old one has brought than the new one. */
  readonly #ahead = new Map<string, Ahead>();
  /** By text: how many the old one still has to bring that its own predecessor had brought. */
  readonly #owed: Map<string, Ahead>;
  readonly #now: () => number;
  readonly #mayWait: (message: Message) => boolean;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #oldLeads = true;
  #both = false;

  /**
   * `mayWait`: it may have been passed on by another engine. What may not is not made to wait.
   * `earlier`: one that was not over yet when the primary changed again.
   */
  constructor(recent: Recent, mayWait: (message: Message) => boolean, earlier: Overlap | null) {
    this.#now = recent.now;
    this.#mayWait = mayWait;
    this.#owed = earlier === null ? new Map() : earlier.#ahead;
    for (const { message, at } of recent.read()) this.#note(keyOf(message), at);
  }

  /** Everything is listened to on the new one as well. */
  both(): void {
    this.#both = true;
  }

  /** What the old one brings; answers what is to be passed on. */
  old(message: Message): readonly Message[] {
    const key = keyOf(message);
    const owed = this.#current(this.#owed, key);
    if (owed > 0) {
      this.#set(this.#owed, key, owed - 1);
      return [];
    }
    const at = this.#waiting.findIndex((each) => each.key === key);
    if (at >= 0) {
      this.#waiting.splice(at, 1);
      this.#waitingBytes -= message.payload.length;
      return [message];
    }
    const ahead = this.#current(this.#ahead, key);
    if (ahead >= 0 && !this.#both) this.#note(key, this.#now());
    else this.#set(this.#ahead, key, ahead + 1);
    return ahead >= 0 ? [message] : [];
  }

  new(message: Message): readonly Message[] {
    const key = keyOf(message);
    const ahead = this.#current(this.#ahead, key);
    if (ahead > 0) {
      this.#set(this.#ahead, key, ahead - 1);
      return [];
    }
    if ((this.#before.get(key) ?? 0) > this.#now()) {
      this.#before.delete(key);
      return [];
    }
    if (this.#oldLeads && this.#mayWait(message)) {
      this.#waiting.push({ key, message });
      this.#waitingBytes += message.payload.length;
      const full = this.#waiting.length > OVERLAP_MESSAGES || this.#waitingBytes > OVERLAP_BYTES;
      return full ? this.join() : [];
    }
    this.#set(this.#ahead, key, ahead - 1);
    return [message];
  }

  /** The old one has brought all that came before, or will not. Answers what is to be passed on. */
  join(): readonly Message[] {
    this.#oldLeads = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { key } of waiting) this.#set(this.#ahead, key, this.#current(this.#ahead, key) - 1);
    return waiting.map(({ message }) => message);
  }

  /** More came on one alone than may be kept. */
  get full(): boolean {
    return Math.max(this.#ahead.size, this.#before.size) > OVERLAP_MESSAGES;
  }

  #current(counts: ReadonlyMap<string, Ahead>, key: string): number {
    const ahead = counts.get(key);
    return ahead === undefined || this.#now() - ahead.at > BUS_LATE_MS ? 0 : ahead.count;
  }

  #set(counts: Map<string, Ahead>, key: string, count: number): void {
    if (count === 0) counts.delete(key);
    else counts.set(key, { count, at: this.#now() });
  }

  #note(key: string, at: number): void {
    this.#before.set(key, this.#before.has(key) ? Number.NaN : at + BUS_LATE_MS);
  }
}

function keyOf({ kind, name, channel, payload }: Message): string {
  return `${kind} ${name} ${channel} ${hash('sha1', payload)}`;
}
