/**
 * What goes to one client.
 *
 * Replies arrive in the read buffer of a lane, which is read into again as soon as this turn is over.
 * Neighbouring ranges grow together there, so the answers to a pipeline are one view and one write,
 * and nothing is copied as long as the client takes what it gets. Only what cannot be written in this
 * turn becomes ours: small ranges are copied, large ones keep the buffer, and the lane takes another
 * (`world.retained`).
 */
import type { Socket } from 'node:net';
import { DirectWriter } from './direct-write.ts';
import {
  CLIENT_HIGH_WATER,
  KEEP_BUFFER_BYTES,
  LAST_WORDS_MS,
  RANGES_IN_A_ROW,
  WRITE_BYTES,
} from './limits.ts';
import { Keeper } from './unread.ts';
import type { World } from './world.ts';

export class Output {
  readonly #world: World;
  readonly #writer: DirectWriter;
  /** A range of somebody else's buffer, good for this turn. */
  #chunk: Buffer | null = null;
  #from = 0;
  #to = 0;
  /** Ours, in order, behind that what is under way. */
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  /** Small ranges at the end of the queue. */
  #small = 0;
  #onWritten: (() => void)[] = [];
  #dropped = false;
  #onIdle: ((taken: boolean) => void) | null = null;
  /** Of this client's, before it comes here: parts of replies, and what has to wait for its turn. */
  #before = 0;
  readonly #keeper: Keeper;
  /** All that ever came. */
  total = 0;

  /** `tooMuch`: all clients together have too much unread, and this one most. */
  constructor(world: World, socket: Socket, tooMuch: () => void) {
    this.#world = world;
    this.#writer = new DirectWriter(socket, this);
    this.#keeper = new Keeper(tooMuch);
  }

  /** So many bytes more, or less, wait for this client elsewhere. */
  before(bytes: number): void {
    this.#before += bytes;
    this.#count();
  }

  #count(): void {
    this.#keeper.keep(this.#dropped ? 0 : this.unwritten + this.#before);
  }

  add(chunk: Buffer, start: number, end: number): void {
    this.total += end - start;
    if (this.#chunk === chunk && this.#to === start) {
      this.#to = end;
      return;
    }
    if (this.#chunk !== null) this.keep();
    this.#chunk = chunk;
    this.#from = start;
    this.#to = end;
  }

  /** The turn of the chunk is over. */
  keep(): void {
    const chunk = this.#chunk;
    if (chunk === null) return;
    this.#chunk = null;
    const range = chunk.subarray(this.#from, this.#to);
    this.#queuedBytes += range.length;
    // Kept is the whole buffer, whatever is used of it.
    if (range.length >= KEEP_BUFFER_BYTES && 2 * range.length >= chunk.length) {
      this.#world.retained = true;
      this.#queue.push(range);
      this.#small = 0;
      return;
    }
    this.#queue.push(Buffer.from(range));
    if (++this.#small < RANGES_IN_A_ROW) return;
    this.#queue.push(Buffer.concat(this.#queue.splice(-this.#small)));
    this.#small = 0;
  }

  /** Answers the bytes that the client has not taken yet. */
  flush(): number {
    const chunk = this.#chunk;
    if (this.#queue.length === 0 && !this.#writer.busy) {
      if (chunk === null) return 0;
      this.#chunk = null;
      const over = this.#writer.write(chunk.subarray(this.#from, this.#to));
      if (over) return 0;
      if (!this.#writer.copies) this.#world.retained = true;
      this.#count();
      return this.#writer.waiting;
    }
    this.keep();
    this.#write();
    // The kernel may have taken all of it at once: then nothing else says so.
    this.#room();
    this.#count();
    return this.unwritten;
  }

  /** From the queue, until the kernel takes no more. */
  #write(): void {
    while (this.#queue.length > 0 && !this.#writer.busy) {
      let count = 0;
      let bytes = 0;
      for (const range of this.#queue) {
        if (count > 0 && bytes + range.length > WRITE_BYTES) break;
        count++;
        bytes += range.length;
      }
      const ranges = this.#queue.splice(0, count);
      this.#small = Math.min(this.#small, this.#queue.length);
      const [first] = ranges;
      this.#queuedBytes -= bytes;
      this.#writer.write(count === 1 && first !== undefined ? first : Buffer.concat(ranges, bytes));
    }
  }

  written(): void {
    this.#write();
    this.#room();
    this.#count();
    if (this.unwritten > 0) return;
    const then = this.#onIdle;
    this.#onIdle = null;
    then?.(true);
  }

  #room(): void {
    if (this.unwritten > CLIENT_HIGH_WATER || this.#onWritten.length === 0) return;
    for (const then of this.#onWritten.splice(0)) then();
  }

  get unwritten(): number {
    return this.#writer.waiting + this.#queuedBytes;
  }

  /** Calls back when the client has read enough for more to be fetched, or is gone. */
  whenWritten(then: () => void): void {
    if (this.#dropped) then();
    else this.#onWritten.push(then);
  }

  /**
   * Calls back when all is written: only then may the stream be ended. `taken` is false when the
   * client did not read what was due to it in time.
   */
  whenIdle(then: (taken: boolean) => void): void {
    if (this.unwritten === 0) return then(true);
    const timer = setTimeout(() => {
      this.#onIdle = null;
      then(false);
    }, LAST_WORDS_MS);
    this.#onIdle = (taken) => {
      clearTimeout(timer);
      then(taken);
    };
  }

  /** Nobody feeds it any more; `lost`: and nobody reads it. */
  drop(lost: boolean): void {
    this.#dropped = true;
    if (lost) {
      this.#chunk = null;
      this.#queue = [];
      this.#queuedBytes = 0;
      this.#onIdle?.(false);
      this.#onIdle = null;
    }
    this.#count();
    for (const then of this.#onWritten.splice(0)) then();
  }
}
