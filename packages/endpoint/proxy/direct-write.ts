/**
 * Writing to a socket without the stream in between.
 *
 * `socket.write` costs about as much again as the system call: a request object, a callback, the
 * bookkeeping of a queue that is nearly always empty. The handle below takes the bytes and answers
 * whether the kernel had room for all of them; only when it had not, or when they go through TLS (which
 * Node ends asynchronously even if the kernel took everything), is there a request to wait for.
 *
 * One write at a time: a TLS handle cannot take a second one while the first is under way, and what
 * comes meanwhile is better written together. So nobody else may write to this socket while `busy`;
 * the stream's own `end` is called only when `whenIdle` says so.
 *
 * Whether a handle takes a write without a request object cannot be tried out: one that does not ends
 * the process. So this is done only under versions of Node that are known to; under any other the
 * stream writes, which is slower and behaves the same.
 */
import type { Socket } from 'node:net';

/** What Node answers when a write is not over yet. */
interface Request {
  oncomplete: ((this: Request, status: number) => void) | null;
  callback: unknown;
  /** Keeps the bytes alive until then. */
  buffer: unknown;
  /** Set when it was over before `oncomplete` could be. */
  readonly writeStatus: number | null;
  readonly error?: unknown;
}

interface Handle {
  writeBuffer(request: null, bytes: Uint8Array): number | Request;
}

const KNOWN_MAJORS = [26];

export const writesDirectly = KNOWN_MAJORS.includes(Number.parseInt(process.versions.node, 10));

export interface WriterOwner {
  /** What was under way is written; not called after an error. */
  written(): void;
}

export class DirectWriter {
  readonly #socket: Socket;
  readonly #owner: WriterOwner;
  /** Bytes under way. */
  waiting = 0;
  /** TLS has encrypted them, or copied them, when `write` returns: the caller's may change. */
  readonly copies: boolean;
  readonly #direct: boolean;

  constructor(socket: Socket, owner: WriterOwner, direct = writesDirectly) {
    this.#socket = socket;
    this.#owner = owner;
    this.#direct = direct;
    this.copies = direct && (socket as { readonly encrypted?: boolean }).encrypted === true;
  }

  get busy(): boolean {
    return this.waiting > 0;
  }

  /** True: it is over, the bytes may change. False: they must stay until `written`, unless it `copies`. */
  write(bytes: Buffer): boolean {
    const handle = (this.#socket as unknown as { readonly _handle: Handle | null })._handle;
    if (handle === null || this.#socket.destroyed) return true;
    if (!this.#direct) {
      this.waiting = bytes.length;
      this.#socket.write(bytes, (error) => this.over(error ? -1 : 0));
      return false;
    }
    const answer = handle.writeBuffer(null, bytes);
    if (answer === 0) return true;
    if (typeof answer === 'number') return this.#failed(answer);
    if (answer.error !== undefined) return this.#failed(answer.error);
    if (answer.writeStatus !== null) {
      return answer.writeStatus < 0 ? this.#failed(answer.writeStatus) : true;
    }
    this.waiting = bytes.length;
    answer.oncomplete = onComplete;
    answer.callback = this;
    answer.buffer = this.copies ? null : bytes;
    return false;
  }

  /** Called by the request. */
  over(status: number): void {
    this.waiting = 0;
    if (status < 0) this.#failed(status);
    else this.#owner.written();
  }

  /** The connection is of no use any more: as the stream would have it. */
  #failed(what: unknown): true {
    if (!this.#socket.destroyed) this.#socket.destroy(new Error(`write failed: ${String(what)}`));
    return true;
  }
}

function onComplete(this: Request, status: number): void {
  (this.callback as DirectWriter).over(status);
}
