/**
 * What goes to one client: ranges of the chunks that lanes received, collected over a tick and
 * written once. Neighbouring ranges grow together, so the answers to a pipeline are one view of one
 * chunk and nothing is copied; only where a client reads slowly small ranges are, because a view of a
 * hundred bytes would keep 64 KB alive.
 */
import type { Socket } from 'node:net';
import { BULK_BYTES, CLIENT_HIGH_WATER } from './limits.ts';

export class Output {
  readonly #socket: Socket;
  #chunk: Buffer | null = null;
  #from = 0;
  #to = 0;
  #ranges: Buffer[] = [];
  #queuedBytes = 0;
  #onWritten: (() => void)[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('drain', () => this.#drained());
  }

  /** A range of a chunk that nobody changes any more. */
  add(chunk: Buffer, start: number, end: number): void {
    if (this.#chunk === chunk && this.#to === start) {
      this.#to = end;
      return;
    }
    if (this.#chunk !== null) this.#cut();
    this.#chunk = chunk;
    this.#from = start;
    this.#to = end;
  }

  #cut(): void {
    const chunk = this.#chunk;
    if (chunk === null) return;
    this.#chunk = null;
    const range = chunk.subarray(this.#from, this.#to);
    this.#queuedBytes += range.length;
    this.#ranges.push(range);
  }

  /** One write. Answers the bytes that the client has not taken yet. */
  flush(): number {
    const socket = this.#socket;
    if (this.#ranges.length === 0) {
      const chunk = this.#chunk;
      if (chunk === null) return 0;
      this.#chunk = null;
      const range = chunk.subarray(this.#from, this.#to);
      const slow = socket.writableLength > 0 && range.length < BULK_BYTES / 4;
      socket.write(slow ? Buffer.from(range) : range);
    } else {
      this.#cut();
      const ranges = this.#ranges;
      this.#ranges = [];
      if (this.#queuedBytes < BULK_BYTES) {
        socket.write(Buffer.concat(ranges, this.#queuedBytes));
      } else {
        socket.cork();
        for (const range of ranges) socket.write(range);
        socket.uncork();
      }
      this.#queuedBytes = 0;
    }
    return socket.writableLength;
  }

  get unwritten(): number {
    return this.#socket.writableLength + this.#queuedBytes;
  }

  /** Calls back when the client has read enough for more to be fetched, or is gone. */
  whenWritten(then: () => void): void {
    this.#onWritten.push(then);
  }

  #drained(): void {
    if (this.#socket.writableLength > CLIENT_HIGH_WATER) return;
    for (const then of this.#onWritten.splice(0)) then();
  }

  drop(): void {
    this.#chunk = null;
    this.#ranges = [];
    this.#queuedBytes = 0;
    for (const then of this.#onWritten.splice(0)) then();
  }
}
