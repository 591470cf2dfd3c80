/** One admitted connection: its identity, its activity, its one ending. */
import type { Socket } from 'node:net';
import type { AdmittedClient } from '../data-path.ts';
import { LINGER_MS } from '../limits.ts';

export class Client implements AdmittedClient {
  readonly id: string;
  readonly number: number;
  readonly socket: Socket;
  readonly address: string;
  readonly tls: boolean;
  readonly openedAt: number;
  /** When a sweep last saw another byte, either way; by `performance.now()`, as somebody may set the clock. */
  activeAt: number;
  #bytes = 0;
  #reason: string | null = null;
  /** Told once, when it is ended here; its socket may stay for LINGER_MS, where the peer does not close. */
  onEnded: ((reason: string) => void) | null = null;

  constructor(id: string, number: number, socket: Socket, address: string, tls: boolean) {
    this.id = id;
    this.number = number;
    this.socket = socket;
    this.address = address;
    this.tls = tls;
    this.openedAt = Date.now();
    this.activeAt = performance.now();
  }

  /** Why it ended; null while nobody here ended it. */
  get reason(): string | null {
    return this.#reason;
  }

  end(reason: string, lastWords?: string | Uint8Array): void {
    if (this.#reason !== null || this.socket.destroyed) return;
    this.#reason = reason;
    closeSocket(this.socket, lastWords);
    this.onEnded?.(reason);
  }

  /** Compares the byte counters with those of the last call. */
  observe(now: number): void {
    const bytes = this.socket.bytesRead + this.socket.bytesWritten;
    if (bytes === this.#bytes) return;
    this.#bytes = bytes;
    this.activeAt = now;
  }
}

/**
 * Closes so that last words arrive: a close with unread input makes the kernel send a reset, which
 * overtakes what was written. So: write, say FIN, read and discard until the peer closes or a little
 * time has passed.
 */
export function closeSocket(socket: Socket, lastWords?: string | Uint8Array): void {
  if (lastWords === undefined) {
    socket.destroy();
    return;
  }
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
  socket.once('end', () => socket.destroySoon());
  if (socket.readableEnded) socket.once('finish', () => socket.destroy());
  if (lastWords.length > 0) socket.end(lastWords);
  else socket.end();
  socket.on('data', () => {}); // discard what still comes
  socket.resume();
}
