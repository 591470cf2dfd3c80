/**
 * A connection of a few lines for diagnose(): speaks RESP2, one command at a time. It uses no client
 * library, because what it looks for is what a library would hide.
 */
import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { KitError, messageOf } from '../errors.ts';
import type { Address } from '../identity/address.ts';
import { DEADLINE_CONNECT_MS, DIAGNOSE_REPLY_MAX } from '../limits.ts';
import { ReplyScanner } from '../wire/scanner.ts';

export class Probe {
  readonly #socket: Socket;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #complete: ((reply: Buffer) => void) | undefined;
  #failed: ((error: Error) => void) | undefined;
  #ended: Error | undefined;
  readonly #scanner: ReplyScanner;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#scanner = new ReplyScanner({
      reply: () => {
        const reply = Buffer.concat(this.#chunks);
        this.#chunks = [];
        this.#bytes = 0;
        this.#complete?.(reply);
      },
      announced: () => {},
    });
    socket.on('data', (chunk: Buffer) => this.#data(chunk));
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('the server closed the connection')));
  }

  /** `verify` false: goes on with a certificate that does not check out, so that more can be said. */
  static open(
    address: Address,
    options: { ca?: string; verify: boolean; signal: AbortSignal },
  ): Promise<Probe> {
    const { host, port } = address;
    return new Promise((resolve, reject) => {
      const socket = address.tls
        ? connectTls({
            host,
            port,
            ...(isIP(host) === 0 ? { servername: host } : {}),
            rejectUnauthorized: options.verify,
            ...(options.ca === undefined ? {} : { ca: options.ca }),
          })
        : connectPlain({ host, port });
      const stop = (): void =>
        void socket.destroy(new Error(`no connection within ${DEADLINE_CONNECT_MS} ms`));
      const timer = setTimeout(stop, DEADLINE_CONNECT_MS);
      options.signal.addEventListener('abort', stop, { once: true });
      socket.once('error', reject);
      socket.once('close', () => clearTimeout(timer));
      socket.once(address.tls ? 'secureConnect' : 'connect', () => {
        socket.off('error', reject);
        clearTimeout(timer);
        options.signal.removeEventListener('abort', stop);
        socket.setNoDelay(true);
        resolve(new Probe(socket));
      });
    });
  }

  get tls(): TLSSocket | undefined {
    return 'getProtocol' in this.#socket ? (this.#socket as TLSSocket) : undefined;
  }

  /** The raw reply. An error reply is a rejection with its text. */
  async ask(...args: (string | Buffer)[]): Promise<Buffer> {
    const reply = await this.exchange(args);
    if (reply[0] === 45) throw new KitError('ERR_CLIENT_OPTION', reply.toString('utf8', 1).trim());
    return reply;
  }

  /** The raw reply, whatever it is. */
  exchange(args: readonly (string | Buffer)[]): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(this.#ended);
        return;
      }
      this.#complete = resolve;
      this.#failed = reject;
      this.#socket.cork();
      this.#socket.write(`*${args.length}\r\n`);
      for (const arg of args) {
        this.#socket.write(`$${Buffer.byteLength(arg)}\r\n`);
        this.#socket.write(arg);
        this.#socket.write('\r\n');
      }
      this.#socket.uncork();
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #data(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes > DIAGNOSE_REPLY_MAX) {
      this.#socket.destroy(new Error(`a reply of more than ${DIAGNOSE_REPLY_MAX} bytes`));
      return;
    }
    this.#chunks.push(chunk);
    this.#scanner.feed(chunk);
    if (this.#scanner.lost)
      this.#socket.destroy(new Error('this is no Redis or Valkey: it does not answer in RESP'));
  }

  #end(error: Error): void {
    this.#ended ??= new Error(messageOf(error));
    this.#failed?.(this.#ended);
  }
}
