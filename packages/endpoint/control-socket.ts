/**
 * A unix socket for a control process: mode 0600, hello both ways, few connections. Whoever does
 * not say hello in time, or speaks another protocol, is told by name and cut off.
 */
import { rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { FrameConnection } from './frame-connection.ts';
import type { Message } from './frames.ts';
import { CONTROL_CONNECTIONS, HELLO_TIMEOUT_MS } from './limits.ts';
import { messageOf, say } from './say.ts';

export interface ControlSocketOptions {
  readonly path: string;
  readonly protocol: number;
  build(): string;
  /** After hello; nothing arrives before. */
  opened(connection: FrameConnection): void;
  message(connection: FrameConnection, message: Message): void;
  /** The answer to a protocol that does not fit, in the words of this socket's contract. */
  misfit(protocol: unknown): { readonly type: string };
}

export class ControlSocket {
  readonly #server: Server;
  readonly #options: ControlSocketOptions;
  readonly #open = new Set<FrameConnection>();

  constructor(options: ControlSocketOptions) {
    this.#options = options;
    this.#server = createServer((socket) => {
      if (this.#open.size >= CONTROL_CONNECTIONS) {
        socket.destroy();
        return;
      }
      let greeted = false;
      const timer = setTimeout(() => socket.destroy(), HELLO_TIMEOUT_MS);
      const connection: FrameConnection = new FrameConnection(
        socket,
        (message) => {
          if (greeted) options.message(connection, message);
          else greeted = this.#greet(connection, message);
          if (greeted) clearTimeout(timer);
        },
        () => {
          clearTimeout(timer);
          this.#open.delete(connection);
        },
      );
      this.#open.add(connection);
      connection.send({
        type: 'hello',
        protocol: options.protocol,
        build: options.build(),
        pid: process.pid,
      } as { type: string });
    });
  }

  /** The caller has set umask 0177 and made sure that nobody serves this path. */
  listen(): Promise<void> {
    rmSync(this.#options.path, { force: true });
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ path: this.#options.path }, () => {
        this.#server.removeListener('error', reject);
        this.#server.on('error', (error) => say('control-socket', messageOf(error)));
        resolve();
      });
    });
  }

  broadcast(message: { readonly type: string }): void {
    for (const connection of this.#open) connection.send(message);
  }

  connections(): Iterable<FrameConnection> {
    return this.#open;
  }

  close(): void {
    this.#server.close();
    for (const connection of this.#open) connection.socket.end();
  }

  #greet(connection: FrameConnection, message: Message): boolean {
    if (message.type === 'hello' && message['protocol'] === this.#options.protocol) {
      this.#options.opened(connection);
      return true;
    }
    connection.send(this.#options.misfit(message['protocol']));
    connection.socket.end();
    return false;
  }
}
