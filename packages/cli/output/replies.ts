/**
 * Which of the replies that `valkey-cli` prints are errors. It reads commands from a pipe, prints every
 * reply as plain text and ends with 0, whatever the replies said. But it prints what it is told (-D)
 * after each reply: a word that nobody can guess shows where one ends, and is taken out again on the
 * way. An error is then a single line that begins with a word in capitals and ends with a newline of
 * its own. A value of just that form cannot be told from one.
 */
const ERROR = /^-?[A-Z][A-Z0-9_]* [^\r\n]*\n$/;

/** No error that an engine sends is longer; more of a reply is not kept. */
const MOST = 16_384;

export class Replies {
  readonly #mark: string;
  /** What may be the beginning of the mark. */
  #tail = '';
  /** The reply so far; longer than any error: only its beginning. */
  #reply = '';
  failed = 0;

  constructor(mark: string) {
    this.#mark = mark;
  }

  /** What to print now of what was printed to us. */
  take(chunk: Buffer): Buffer {
    // One character a byte: the text is whatever a value is.
    const parts = (this.#tail + chunk.toString('latin1')).split(this.#mark);
    const last = parts.pop() ?? '';
    for (const part of parts) {
      this.#keep(part);
      if (ERROR.test(this.#reply)) this.failed++;
      this.#reply = '';
    }
    const held = beginningAtEnd(last, this.#mark);
    this.#tail = last.slice(last.length - held);
    const now = last.slice(0, last.length - held);
    this.#keep(now);
    return Buffer.from([...parts, now].join('\n'), 'latin1');
  }

  /** What is left when nothing more comes. */
  end(): Buffer {
    return Buffer.from(this.#tail, 'latin1');
  }

  #keep(text: string): void {
    if (this.#reply.length <= MOST) this.#reply += text.slice(0, MOST + 1);
  }
}

/** How many characters at the end of `text` are the beginning of `mark`. */
function beginningAtEnd(text: string, mark: string): number {
  for (let n = Math.min(text.length, mark.length - 1); n > 0; n--) {
    if (mark.startsWith(text.slice(text.length - n))) return n;
  }
  return 0;
}
