/** A reply that is put together here, as it comes. Beyond a bound nothing of it is kept. */
export class Collected {
  #parts: Buffer[] = [];
  #bytes = 0;

  get empty(): boolean {
    return this.#bytes === 0;
  }

  /** Copies: the chunk is somebody else's. */
  add(range: Buffer, most: number): void {
    this.#bytes += range.length;
    if (this.#bytes > most) this.#parts = [];
    else this.#parts.push(Buffer.from(range));
  }

  /** All of it; null: it was too much. */
  take(): Buffer | null {
    const parts = this.#parts;
    const bytes = this.#bytes;
    this.#parts = [];
    this.#bytes = 0;
    const [only] = parts;
    if (parts.length === 1 && only?.length === bytes) return only;
    return parts.length === 0 ? null : Buffer.concat(parts, bytes);
  }
}

/** Messages that wait for the end of a reply that is half written. */
export class HeldMessages {
  #messages: Buffer[] = [];
  bytes = 0;

  get empty(): boolean {
    return this.#messages.length === 0;
  }

  push(message: Buffer): void {
    this.#messages.push(message);
    this.bytes += message.length;
  }

  /** Those that must wait on are offered again by whoever takes them. */
  letOut(take: (message: Buffer) => void): void {
    if (this.empty) return;
    const messages = this.#messages;
    this.#messages = [];
    this.bytes = 0;
    for (const message of messages) take(message);
  }
}
