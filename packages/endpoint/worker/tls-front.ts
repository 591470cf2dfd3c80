/**
 * TLS for the clients of one database.
 *
 * - A new certificate replaces the context of the server; open connections keep theirs.
 * - Session tickets are good on every worker: the keys are derived from one secret that the
 *   supervisor made and keeps in memory, and the session id context is fixed (Node derives it from
 *   its arguments otherwise, and then nothing resumes; tried).
 * - Handshakes cost up to a millisecond of the one thread that also serves everybody else. So only a
 *   few are begun in each turn of the event loop, and the connected get their turn in between. The
 *   work is done when the client speaks, and those that were begun before may all speak in one turn:
 *   so when many are under way, the next are begun when they have spoken (not always: what was read
 *   here before costs each connection 7 KB for good). A limit on how many are under way would be
 *   wrong: some silent connections would lock the door.
 *   Each has one deadline from its accept on; when there are too many, the oldest goes.
 */
import { createHash, hkdfSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls';
import type { DatabaseView } from '../control-protocol.ts';
import {
  HANDSHAKE_TIMEOUT_MS,
  HANDSHAKES_A_TURN,
  HANDSHAKES_PENDING,
  HANDSHAKES_UNSPOKEN,
} from '../limits.ts';

type Certificate = NonNullable<DatabaseView['certificate']>;
export type HandshakeDone = (socket: TLSSocket | null, failure: string) => void;

/** Azure's suites (ECDHE with AES in CBC, TLS 1.3 with AES-GCM) and their AEAD forms for 1.2. */
const SUITES = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-SHA384',
  'ECDHE-RSA-AES256-SHA384',
  'ECDHE-ECDSA-AES128-SHA256',
  'ECDHE-RSA-AES128-SHA256',
].join(':');

interface Handshake {
  readonly raw: Socket;
  readonly done: HandshakeDone;
  readonly key: string;
  readonly timer: NodeJS.Timeout;
  settled: boolean;
  /** Listens on the raw socket while the handshake is under way, and no longer: memory. */
  readonly lost: () => void;
}

export class TlsFront {
  readonly #database: string;
  /** By connection, oldest first. */
  readonly #pending = new Map<string, Handshake>();
  #queue: Handshake[] = [];
  #server: Server | null = null;
  #generation = -1;
  #secret: Buffer;

  constructor(database: string, ticketSecret: Buffer) {
    this.#database = database;
    this.#secret = ticketSecret;
  }

  /** Reads a certificate of another generation. Throws when it cannot; the old one stays. */
  load(certificate: Certificate): void {
    if (this.#server !== null && certificate.generation === this.#generation) return;
    const options: TlsOptions = {
      cert: readFileSync(certificate.certFile),
      key: readFileSync(certificate.keyFile),
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
      ciphers: SUITES,
      honorCipherOrder: true,
      sessionIdContext: createHash('sha256').update(this.#database).digest('hex').slice(0, 32),
      ticketKeys: this.#ticketKeys(),
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    };
    if (this.#server === null) this.#server = this.#create(options);
    else this.#server.setSecureContext(options);
    this.#generation = certificate.generation;
  }

  /** Handshakes that have begun and not ended. */
  get pending(): number {
    return this.#pending.size;
  }

  /** A certificate was loaded once: later ones that cannot be read change nothing. */
  get ready(): boolean {
    return this.#server !== null;
  }

  rotate(ticketSecret: Buffer): void {
    this.#secret = ticketSecret;
    this.#server?.setTicketKeys(this.#ticketKeys());
  }

  /** `done` is called once, with the socket or with the reason of the failure. */
  handshake(raw: Socket, done: HandshakeDone): void {
    const handshake: Handshake = {
      raw,
      done,
      key: keyOf(raw),
      timer: setTimeout(() => this.#fail(handshake, 'tls-timeout'), HANDSHAKE_TIMEOUT_MS),
      settled: false,
      lost: () => this.#fail(handshake, 'tls-handshake-failed'),
    };
    if (this.#server === null) {
      this.#fail(handshake, 'no-certificate');
      return;
    }
    if (this.#pending.size >= HANDSHAKES_PENDING) {
      const [oldest] = this.#pending.values();
      if (oldest !== undefined) this.#fail(oldest, 'too-many-handshakes');
    }
    // A peer that closes before it has spoken is gone, not half open.
    raw.allowHalfOpen = false;
    this.#pending.set(handshake.key, handshake);
    raw.on('close', handshake.lost);
    if (this.#pending.size > HANDSHAKES_UNSPOKEN)
      raw.once('readable', () => this.#spoke(handshake));
    else this.#enqueue(handshake);
  }

  #spoke(handshake: Handshake): void {
    if (handshake.settled) return;
    // Its end, and not a word before it.
    if (handshake.raw.readableLength === 0) this.#fail(handshake, 'tls-handshake-failed');
    else this.#enqueue(handshake);
  }

  #enqueue(handshake: Handshake): void {
    this.#queue.push(handshake);
    if (this.#queue.length === 1) setImmediate(() => this.#begin());
  }

  close(): void {
    for (const handshake of [...this.#pending.values()]) this.#fail(handshake, 'draining');
  }

  #create(options: TlsOptions): Server {
    const server = createServer(options);
    server.on('secureConnection', (socket) => {
      const handshake = this.#pending.get(keyOf(socket));
      socket.allowHalfOpen = true;
      if (handshake === undefined) socket.destroy();
      else this.#finish(handshake, socket, '');
    });
    server.on('tlsClientError', (error, socket) => {
      const handshake = this.#pending.get(keyOf(socket));
      if (handshake !== undefined) this.#fail(handshake, failureOf(error));
    });
    return server;
  }

  #begin(): void {
    const now = this.#queue.splice(0, HANDSHAKES_A_TURN);
    for (const handshake of now) {
      if (!handshake.settled) this.#server?.emit('connection', handshake.raw);
    }
    if (this.#queue.length > 0) setImmediate(() => this.#begin());
  }

  #fail(handshake: Handshake, reason: string): void {
    if (this.#finish(handshake, null, reason)) handshake.raw.destroy();
  }

  #finish(handshake: Handshake, socket: TLSSocket | null, failure: string): boolean {
    if (handshake.settled) return false;
    handshake.settled = true;
    clearTimeout(handshake.timer);
    handshake.raw.off('close', handshake.lost);
    if (this.#pending.get(handshake.key) === handshake) this.#pending.delete(handshake.key);
    handshake.done(socket, failure);
    return true;
  }

  #ticketKeys(): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#secret, '', `tickets ${this.#database}`, 48));
  }
}

/** A connection is its four ends; Node does not tell which raw socket a TLS socket came from. */
function keyOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`;
}

function failureOf(error: Error & { code?: string }): string {
  const code = error.code ?? '';
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'tls-timeout';
  if (/HTTP_REQUEST|WRONG_VERSION_NUMBER|PACKET_LENGTH/.test(code)) return 'not-tls';
  if (/UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW/.test(code)) return 'tls-version';
  if (/ALERT_UNKNOWN_CA|ALERT_BAD_CERTIFICATE|CERTIFICATE_UNKNOWN/.test(code)) {
    return 'certificate-not-trusted';
  }
  return 'tls-handshake-failed';
}
