/**
 * One conversation with a supervisor or worker: hello both ways, then requests by number, each with
 * a deadline. Whatever is not an answer goes to `onMessage`.
 */
import { connect } from 'node:net';
import { FrameConnection, type Message } from '../../endpoint/supervisor-protocol.ts';
import { ControlError } from '../errors.ts';
import { HELLO_WAIT_MS } from './limits.ts';

export interface PeerHello {
  readonly protocol: number;
  readonly build: string;
  readonly pid: number;
}

export interface PeerOptions {
  readonly path: string;
  readonly protocol: number;
  readonly build: string;
  onMessage(message: Message): void;
  onClose(reason: string): void;
}

/** A refusal by the other side, by its own code. */
export class PeerRefusal extends Error {
  override readonly name = 'PeerRefusal';
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Somebody listens, and says nothing. */
export class NoHello extends Error {
  override readonly name = 'NoHello';
}

interface Pending {
  resolve(message: Message): void;
  reject(error: Error): void;
  readonly timer: NodeJS.Timeout;
}

export class Peer {
  readonly hello: PeerHello;
  readonly #connection: FrameConnection;
  readonly #pending: Map<number, Pending>;
  #requests = 0;

  private constructor(
    hello: PeerHello,
    connection: FrameConnection,
    pending: Map<number, Pending>,
  ) {
    this.hello = hello;
    this.#connection = connection;
    this.#pending = pending;
  }

  /**
   * Resolves after the other side's hello, whatever its protocol: the caller decides what to do
   * with one that does not fit. Rejects when nobody listens, or says no hello in time.
   */
  static open(options: PeerOptions): Promise<Peer> {
    return new Promise((resolve, reject) => {
      const pending = new Map<number, Pending>();
      const socket = connect({ path: options.path });
      let mute = false;
      const timer = setTimeout(() => {
        mute = true;
        socket.destroy(new Error(`no hello within ${HELLO_WAIT_MS} ms`));
      }, HELLO_WAIT_MS);
      let peer: Peer | null = null;
      const connection: FrameConnection = new FrameConnection(
        socket,
        (message) => {
          if (peer !== null) peer.#receive(message, options);
          else if (isHello(message)) {
            clearTimeout(timer);
            peer = new Peer(message, connection, pending);
            resolve(peer);
          } else socket.destroy(new Error(`'${message.type}' came before hello`));
        },
        (reason) => {
          clearTimeout(timer);
          for (const waiter of pending.values()) {
            clearTimeout(waiter.timer);
            waiter.reject(new ControlError('EndpointGone', 503, `endpoint: ${reason}`));
          }
          pending.clear();
          const problem = `${options.path}: ${reason}`;
          if (peer === null) reject(mute ? new NoHello(problem) : new Error(problem));
          else options.onClose(reason);
        },
      );
      socket.on('connect', () => {
        connection.send({
          type: 'hello',
          protocol: options.protocol,
          build: options.build,
          pid: process.pid,
        } as { type: string });
      });
    });
  }

  get open(): boolean {
    return this.#connection.open;
  }

  /** Resolves with `result`; rejects with PeerRefusal, or with ControlError when gone or late. */
  request(request: { readonly type: string }, deadlineMs: number): Promise<unknown> {
    if (!this.open) {
      return Promise.reject(new ControlError('EndpointGone', 503, 'endpoint: not connected'));
    }
    this.#requests += 1;
    const id = this.#requests;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(
          new ControlError(
            'EndpointLate',
            504,
            `endpoint ${this.hello.pid} did not answer '${request.type}' within ${deadlineMs} ms`,
          ),
        );
      }, deadlineMs);
      this.#pending.set(id, {
        timer,
        reject,
        resolve: (message) => {
          if (message.type === 'done') resolve(message['result']);
          else reject(new PeerRefusal(String(message['code']), String(message['message'])));
        },
      });
      this.#connection.send({ ...request, id } as { type: string });
    });
  }

  /** What was sent before still goes out. */
  end(): void {
    this.#connection.socket.end();
  }

  close(): void {
    this.#connection.close();
  }

  #receive(message: Message, options: PeerOptions): void {
    if (message.type !== 'done' && message.type !== 'refused') {
      options.onMessage(message);
      return;
    }
    const id = Number(message['id']);
    const waiter = this.#pending.get(id);
    if (waiter === undefined) return; // it came after its deadline
    this.#pending.delete(id);
    clearTimeout(waiter.timer);
    waiter.resolve(message);
  }
}

function isHello(message: Message): message is Message & PeerHello {
  return (
    message.type === 'hello' &&
    typeof message['protocol'] === 'number' &&
    typeof message['build'] === 'string' &&
    typeof message['pid'] === 'number'
  );
}
