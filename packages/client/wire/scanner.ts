/**
 * Where replies begin and end, and how large each will be, without parsing any of them.
 *
 * The kit must know which command a byte on the socket belongs to: to see a large reply as soon as
 * its header arrives (not when its last byte did), to count bytes per command, to say who waited
 * behind whom. The client library parses the same bytes again for its own purpose and tells nobody.
 * So this scanner walks the stream beside it. It reads headers only: the payload of a bulk string
 * is one subtraction, whatever its size. State is kept over chunk borders anywhere, also inside a
 * header. RESP2 and RESP3; pushes are told from replies, because no command waits for them.
 */

export interface ScanListener {
  /** A reply is complete; `bytes` are all of it, as on the wire. */
  reply(bytes: number): void;
  /** The header of the reply being read announces at least this many bytes in all. */
  announced(bytes: number): void;
}

const CR = 13;
const LF = 10;

export class ReplyScanner {
  readonly #listener: ScanListener;
  /** Payload bytes still to skip (with their CRLF). */
  #skip = 0;
  /** Inside a header line: its type byte, else 0. */
  #type = 0;
  #value = 0;
  #negative = false;
  /** Elements still missing, innermost aggregate last. */
  readonly #open: number[] = [];
  /** Bytes of the reply being read. */
  #bytes = 0;
  #push = false;
  #error = false;
  #lost = false;

  constructor(listener: ScanListener) {
    this.#listener = listener;
  }

  /** Bytes of the reply that is being read; 0 between replies. */
  get partial(): number {
    return this.#bytes;
  }

  /** Of the reply that is being told: the server refused. */
  get error(): boolean {
    return this.#error;
  }

  /** The stream was not RESP: nothing is reported any more until `reset`. */
  get lost(): boolean {
    return this.#lost;
  }

  reset(): void {
    this.#skip = 0;
    this.#type = 0;
    this.#open.length = 0;
    this.#bytes = 0;
    this.#push = false;
    this.#error = false;
    this.#lost = false;
  }

  feed(chunk: Uint8Array): void {
    this.walk(chunk, 0, chunk.length, false);
  }

  /** Reads `chunk[from..end)`, or as far as the end of the current reply; answers where it stopped. */
  walk(chunk: Uint8Array, from: number, end: number, oneReply: boolean): number {
    let at = from;
    while (at < end) {
      if (this.#lost) return end;
      if (oneReply && at > from && this.#bytes === 0) return at;
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, end - at);
        this.#skip -= step;
        this.#bytes += step;
        at += step;
        if (this.#skip > 0) return at;
        this.#element();
        continue;
      }
      if (this.#type === 0) {
        this.#type = chunk[at] as number;
        this.#value = 0;
        this.#negative = false;
        this.#bytes += 1;
        at += 1;
        continue;
      }
      at = this.#line(chunk, at, end);
    }
    return at;
  }

  /** Reads on in a header line from `at`; answers where it stopped. */
  #line(chunk: Uint8Array, from: number, end: number): number {
    const counted = isCounted(this.#type);
    let at = from;
    while (at < end) {
      const byte = chunk[at] as number;
      at += 1;
      if (byte === LF) {
        this.#bytes += at - from;
        this.#header();
        return at;
      }
      if (!counted) {
        const lf = chunk.indexOf(LF, at);
        at = lf < 0 ? end : lf;
        continue;
      }
      if (byte >= 48 && byte <= 57) this.#value = this.#value * 10 + (byte - 48);
      else if (byte === 45) this.#negative = true;
      else if (byte !== CR) {
        // '$?' streams and anything else that no server of this family sends.
        this.#lost = true;
        return end;
      }
    }
    this.#bytes += at - from;
    return at;
  }

  #header(): void {
    const type = this.#type;
    this.#type = 0;
    if ((type === 45 || type === 33) && this.#open.length === 0) this.#error = true;
    switch (type) {
      case 36: // $
      case 61: // =
      case 33: // !
        if (this.#negative) return this.#element();
        this.#skip = this.#value + 2;
        this.#say(this.#bytes + this.#skip);
        return;
      case 62: // >
        if (this.#open.length === 0) this.#push = true;
        return this.#aggregate(this.#value);
      case 42: // *
      case 126: // ~
        return this.#negative ? this.#element() : this.#aggregate(this.#value);
      case 37: // %
        return this.#aggregate(this.#value * 2);
      case 124: // | attributes stand before the reply they describe
        this.#open.push(1 + this.#value * 2);
        return;
      case 43: // +
      case 45: // -
      case 58: // :
      case 44: // ,
      case 40: // (
      case 35: // #
      case 95: // _
        return this.#element();
      default:
        this.#lost = true;
    }
  }

  #aggregate(elements: number): void {
    if (elements === 0) return this.#element();
    this.#open.push(elements);
    this.#say(this.#bytes + elements * 3);
  }

  #say(bytes: number): void {
    if (!this.#push) this.#listener.announced(bytes);
  }

  /** One element ended; so may the aggregates around it, and the reply. */
  #element(): void {
    const open = this.#open;
    while (open.length > 0) {
      const left = (open[open.length - 1] as number) - 1;
      if (left > 0) {
        open[open.length - 1] = left;
        return;
      }
      open.pop();
    }
    const bytes = this.#bytes;
    this.#bytes = 0;
    if (this.#push) this.#push = false;
    else this.#listener.reply(bytes);
    this.#error = false;
  }
}

/** Types whose header line is a number that the scanner needs. */
function isCounted(type: number): boolean {
  return (
    type === 36 ||
    type === 42 ||
    type === 61 ||
    type === 33 ||
    type === 62 ||
    type === 126 ||
    type === 37 ||
    type === 124
  );
}
