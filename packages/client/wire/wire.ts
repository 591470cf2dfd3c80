/**
 * One connection as a queue: what was written and not answered yet, in order.
 *
 * A connection to the server answers strictly in order, so everything that can be asked of it
 * follows from this queue and the scanner: whose bytes are arriving, how much is still expected,
 * who stands behind a large reply, since when nothing has come. It is the one place where bytes and
 * commands meet; lanes, deadlines and telemetry only read it.
 */
import { performance } from 'node:perf_hooks';
import { LARGE_BYTES } from '../limits.ts';
import { Diversion, type Forward, type ReplyInto } from './diversion.ts';
import { Gather } from './gather.ts';
import { ReplyScanner } from './scanner.ts';

/** One command on a connection. `Call` (lanes) is one that came from the application. */
export interface Sent {
  readonly name: string;
  readonly key: string | undefined;
  bytesOut: number;
  /** When the application asked, when it was written, when it came to the head, first byte of its reply. */
  queuedAt: number;
  writtenAt: number;
  headAt: number;
  firstByteAt: number;
  bytesIn: number;
  /** Reply size by its header; 0: no header yet. */
  announced: number;
  /** Of the connection that it is on. */
  endpoint: string;
  /** Takes the bytes of the reply, if it is one string; see diversion.ts. */
  readonly into?: ReplyInto | undefined;
  /** What the application asked for, where this is what one node got of it. */
  readonly call?: Sent;
}

/** A command that did not come through the kit: the library's handshake, a pipeline's, a duplicate. */
export function notOurs(name: string, key: string | undefined, bytesOut: number): Sent {
  return {
    name,
    key,
    bytesOut,
    queuedAt: performance.now(),
    writtenAt: 0,
    headAt: 0,
    firstByteAt: 0,
    bytesIn: 0,
    announced: 0,
    endpoint: '',
  };
}

export interface WireListener<T extends Sent> {
  /**
   * Replies are counted after the library has seen them: it decides about errors, and disowns those
   * it answers otherwise (a redirect). Else before.
   */
  readonly libraryFirst?: boolean;
  /** The reply of `sent` is an error: called before `answered`, and before what stands behind it is. */
  refused?(sent: T): void;
  /** The reply of `sent` is complete. */
  answered(sent: T, now: number): void;
  /** The reply of `sent` turned out to be large; it has just begun. */
  large(sent: T): void;
}

/** Written commands in order: a ring that grows by doubling. */
class Ring<T> {
  #items: (T | undefined)[] = new Array(64);
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(item: T): void {
    const capacity = this.#items.length;
    if (this.#size === capacity) this.#grow();
    this.#items[(this.#head + this.#size) & (this.#items.length - 1)] = item;
    this.#size += 1;
  }

  shift(): T | undefined {
    if (this.#size === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#items.length - 1);
    this.#size -= 1;
    return item;
  }

  replace(item: T, by: T): void {
    for (let i = 0; i < this.#size; i += 1) {
      if (this.at(i) !== item) continue;
      this.#items[(this.#head + i) & (this.#items.length - 1)] = by;
      return;
    }
  }

  at(index: number): T | undefined {
    if (index >= this.#size) return undefined;
    return this.#items[(this.#head + index) & (this.#items.length - 1)];
  }

  #grow(): void {
    const items: (T | undefined)[] = new Array(this.#items.length * 2);
    for (let i = 0; i < this.#size; i += 1) items[i] = this.at(i);
    this.#items = items;
    this.#head = 0;
  }
}

export class Wire<T extends Sent = Sent> {
  /** Where it leads, for messages: 'host:port' or a path. */
  endpoint: string;
  readonly #listener: WireListener<T>;
  readonly #largeBytes: number;
  readonly #ring = new Ring<T>();
  readonly #scanner: ReplyScanner;
  readonly #diversion: Diversion;
  readonly #gather = new Gather();
  /** Bytes of the reply being read, by its header; 0 between replies. */
  #expected = 0;
  /** Complete, and not told yet; see `libraryFirst`. */
  readonly #untold: T[] = [];
  #now = 0;
  lastReadAt = performance.now();
  bytesIn = 0;
  bytesOut = 0;
  /** Written commands whose replies are wanted elsewhere. */
  #diverted = 0;
  /** The reply at the head is a large one, and not complete. */
  largeAtHead = false;
  /** A pub/sub connection answers without being asked: counting replies makes no sense there. */
  listening = false;

  /** `largeBytes`: from this size on a reply is told to be large. */
  constructor(endpoint: string, listener: WireListener<T>, largeBytes: number = LARGE_BYTES) {
    this.endpoint = endpoint;
    this.#listener = listener;
    this.#largeBytes = largeBytes;
    this.#scanner = new ReplyScanner({
      reply: (bytes) => this.#reply(bytes),
      announced: (bytes) => this.#announced(bytes),
    });
    this.#diversion = new Diversion(this.#scanner, () => this.#ring.at(0)?.into);
  }

  get pending(): number {
    return this.#ring.size;
  }

  /** The i-th command from the head. */
  at(index: number): T | undefined {
    return this.#ring.at(index);
  }

  /** Bytes of the reply at the head that have arrived. */
  get partial(): number {
    return this.#scanner.partial;
  }

  sent(item: T, now: number): void {
    if (this.listening) return;
    item.writtenAt = now;
    item.endpoint = this.endpoint;
    if (this.#ring.size === 0) {
      item.headAt = now;
      this.lastReadAt = now;
    }
    this.bytesOut += item.bytesOut;
    if (item.into !== undefined) this.#diverted += 1;
    this.#ring.push(item);
  }

  /** What came from the socket; `forward` is the library's parser, and may be given it in pieces. */
  received(chunk: Buffer, forward: Forward): void {
    this.#now = performance.now();
    this.lastReadAt = this.#now;
    this.bytesIn += chunk.length;
    if (this.listening) return forward(chunk);
    const rest = this.#gather.on ? this.#gathered(chunk, forward) : chunk;
    if (this.#diverted > 0) this.#diversion.received(rest, forward);
    else if (rest.length > 0) this.#passed(rest, forward);
    if (this.#untold.length > 0) this.#tell();
    const head = this.#ring.at(0);
    if (head !== undefined && this.#scanner.partial > 0) {
      if (head.firstByteAt === 0) head.firstByteAt = this.#now;
      head.bytesIn = this.#scanner.partial;
    }
  }

  /** `item` stays in its place, but is nobody's any more: its reply was dealt with otherwise. */
  disown(item: T, stand: T): void {
    const told = this.#untold.indexOf(item);
    if (told >= 0) this.#untold[told] = stand;
    else {
      if (item.into !== undefined) this.#diverted -= 1;
      this.#ring.replace(item, stand);
    }
  }

  /** From now on, or no longer. What is answered in between, SUBSCRIBE itself, is not waited for. */
  listen(on: boolean): void {
    if (on && !this.listening) this.reset();
    this.listening = on;
  }

  /** The connection is gone: answers what was on it, in order, and forgets it. */
  reset(): T[] {
    const left: T[] = [];
    for (let item = this.#ring.shift(); item !== undefined; item = this.#ring.shift()) {
      left.push(item);
    }
    this.#scanner.reset();
    this.#diversion.reset();
    this.#gather.reset();
    this.#expected = 0;
    this.#diverted = 0;
    this.largeAtHead = false;
    this.listening = false;
    return left;
  }

  #passed(chunk: Buffer, forward: Forward): void {
    this.#scanner.feed(chunk);
    const { partial } = this.#scanner;
    const kept = partial > 0 && this.#gather.begin(chunk, partial, this.#expected);
    if (!kept) forward(chunk);
    else if (partial < chunk.length) forward(chunk.subarray(0, chunk.length - partial));
  }

  /** Answers what follows the reply that is being gathered. */
  #gathered(chunk: Buffer, forward: Forward): Buffer {
    const taken = this.#gather.take(chunk);
    this.#scanner.walk(chunk, 0, taken, false);
    const whole = this.#gather.done();
    if (whole !== undefined) forward(whole, true);
    return chunk.subarray(taken);
  }

  #announced(bytes: number): void {
    this.#expected = bytes;
    const head = this.#ring.at(0);
    if (head === undefined) return;
    if (bytes > head.announced) head.announced = bytes;
    if (this.largeAtHead || bytes < this.#largeBytes) return;
    this.largeAtHead = true;
    if (head.firstByteAt === 0) head.firstByteAt = this.#now;
    this.#listener.large(head);
  }

  #reply(bytes: number): void {
    const item = this.#ring.shift();
    this.largeAtHead = false;
    this.#expected = 0;
    if (item === undefined) return;
    if (item.into !== undefined) this.#diverted -= 1;
    item.bytesIn = bytes;
    if (item.firstByteAt === 0) item.firstByteAt = this.#now;
    const next = this.#ring.at(0);
    if (next !== undefined) next.headAt = this.#now;
    if (this.#scanner.error) this.#listener.refused?.(item);
    if (this.#listener.libraryFirst === true) this.#untold.push(item);
    else this.#listener.answered(item, this.#now);
  }

  #tell(): void {
    const untold = this.#untold;
    for (let i = 0; i < untold.length; i += 1) this.#listener.answered(untold[i] as T, this.#now);
    untold.length = 0;
  }
}
