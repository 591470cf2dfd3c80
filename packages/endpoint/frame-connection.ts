/** A control conversation over one socket: frames both ways, and it ends at the first broken one. */
import type { Socket } from 'node:net';
import { encodeFrame, FrameReader, type Message } from './frames.ts';
import { messageOf } from './say.ts';

export class FrameConnection {
  readonly socket: Socket;
  readonly #reader = new FrameReader();

  constructor(
    socket: Socket,
    onMessage: (message: Message) => void,
    onClose: (reason: string) => void,
  ) {
    this.socket = socket;
    let reason = 'closed by the other side';
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const message of this.#reader.push(chunk)) onMessage(message);
      } catch (error) {
        socket.destroy(new Error(messageOf(error)));
      }
    });
    socket.on('error', (error) => {
      reason = error.message;
    });
    socket.on('close', () => onClose(reason));
  }

  get open(): boolean {
    return !this.socket.destroyed && this.socket.writable;
  }

  /** Bytes that the other side has not taken yet. */
  get backlog(): number {
    return this.socket.writableLength;
  }

  send(message: { readonly type: string }): void {
    if (this.open) this.socket.write(encodeFrame(message));
  }

  close(): void {
    this.socket.destroy();
  }
}
