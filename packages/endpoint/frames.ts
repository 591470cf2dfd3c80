/**
 * Length-prefixed JSON, as on every control socket: four bytes big-endian, then that many bytes.
 * A frame that is too long, or that is not a JSON object with a `type`, ends the conversation:
 * after it nothing in the stream can be trusted.
 */
import { MAX_FRAME_BYTES } from './control-protocol.ts';

const HEADER_BYTES = 4;

export class FrameError extends Error {
  override readonly name = 'FrameError';
  readonly code: 'frame-too-long' | 'frame-empty' | 'frame-not-json' | 'frame-no-type';
  constructor(code: FrameError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export interface Message {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Rejects with FrameError a message that the other side would have to refuse. */
export function encodeFrame(message: { readonly type: string }): Buffer {
  const text = JSON.stringify(message);
  const length = Buffer.byteLength(text);
  if (length > MAX_FRAME_BYTES) throw tooLong(length);
  const frame = Buffer.allocUnsafe(HEADER_BYTES + length);
  frame.writeUInt32BE(length, 0);
  frame.write(text, HEADER_BYTES);
  return frame;
}

/** Turns a byte stream, cut anywhere, into messages. Holds at most one frame. */
export class FrameReader {
  #header = Buffer.allocUnsafe(HEADER_BYTES);
  #headerFill = 0;
  #body: Buffer | null = null;
  #bodyFill = 0;

  /** Messages completed by this chunk, in order. Throws FrameError; do not use it afterwards. */
  push(chunk: Uint8Array): Message[] {
    const messages: Message[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.#body === null) {
        const take = Math.min(HEADER_BYTES - this.#headerFill, chunk.length - at);
        this.#header.set(chunk.subarray(at, at + take), this.#headerFill);
        this.#headerFill += take;
        at += take;
        if (this.#headerFill < HEADER_BYTES) break;
        const length = this.#header.readUInt32BE(0);
        if (length > MAX_FRAME_BYTES) throw tooLong(length);
        if (length === 0) throw new FrameError('frame-empty', 'a frame of 0 bytes is no message');
        // Grows with what arrives: a header alone must not make us allocate 16 MB.
        this.#body = Buffer.allocUnsafe(Math.min(length, 64 * 1024));
        this.#bodyFill = 0;
        continue;
      }
      const length = this.#header.readUInt32BE(0);
      const take = Math.min(length - this.#bodyFill, chunk.length - at);
      this.#reserve(this.#bodyFill + take, length);
      this.#body.set(chunk.subarray(at, at + take), this.#bodyFill);
      this.#bodyFill += take;
      at += take;
      if (this.#bodyFill < length) break;
      messages.push(parse(this.#body.subarray(0, length)));
      this.#body = null;
      this.#headerFill = 0;
    }
    return messages;
  }

  #reserve(needed: number, length: number): void {
    const body = this.#body;
    if (body === null || body.length >= needed) return;
    const grown = Buffer.allocUnsafe(Math.min(length, Math.max(needed, body.length * 2)));
    body.copy(grown, 0, 0, this.#bodyFill);
    this.#body = grown;
  }
}

function parse(body: Buffer): Message {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    throw new FrameError('frame-not-json', `a frame of ${body.length} bytes is not JSON`);
  }
  if (typeof value !== 'object' || value === null || !('type' in value)) {
    throw new FrameError('frame-no-type', 'a frame holds no object with a type');
  }
  if (typeof value.type !== 'string') {
    throw new FrameError('frame-no-type', 'the type of a frame is not a string');
  }
  return value as Message;
}

function tooLong(length: number): FrameError {
  return new FrameError(
    'frame-too-long',
    `a frame of ${length} bytes is over the limit of ${MAX_FRAME_BYTES} bytes`,
  );
}
