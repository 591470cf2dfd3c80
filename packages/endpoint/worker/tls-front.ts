/**
 * TLS for the clients of one database.
 *
 * - A new certificate replaces the context of the server; open connections keep theirs.
 * - Session tickets are good on every worker: the keys are derived from one secret that the
 *   supervisor made and keeps in memory, and the session id context is fixed (Node derives it from
 *   its arguments otherwise, and then nothing resumes; tried).
 * - Handshakes cost a millisecond of the one thread that also serves everybody else. So only some
 *   run at a time; the rest wait, unread, in order, and each has one deadline from its accept on.
 */
import { createHash, hkdfSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls';
import type { DatabaseView } from '../control-protocol.ts';
import { HANDSHAKE_TIMEOUT_MS, HANDSHAKES_RUNNING, HANDSHAKES_WAITING } from '../limits.ts';

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
}

export class TlsFront {
  readonly #database: string;
  readonly #running = new Map<string, Handshake>();
  readonly #waiting = new Set<Handshake>();
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
      allowHalfOpen: true,
    };
    if (this.#server === null) this.#server = this.#create(options);
    else this.#server.setSecureContext(options);
    this.#generation = certificate.generation;
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
    };
    if (this.#server === null) this.#fail(handshake, 'no-certificate');
    else if (this.#running.size < HANDSHAKES_RUNNING) this.#run(handshake);
    else if (this.#waiting.size < HANDSHAKES_WAITING) this.#waiting.add(handshake);
    else this.#fail(handshake, 'too-many-handshakes');
  }

  close(): void {
    for (const handshake of [...this.#waiting, ...this.#running.values()]) {
      this.#fail(handshake, 'draining');
    }
  }

  #create(options: TlsOptions): Server {
    const server = createServer(options);
    server.on('secureConnection', (socket) => {
      const handshake = this.#running.get(keyOf(socket));
      if (handshake === undefined) socket.destroy();
      else this.#finish(handshake, socket, '');
    });
    server.on('tlsClientError', (error, socket) => {
      const handshake = this.#running.get(keyOf(socket));
      if (handshake !== undefined) this.#fail(handshake, failureOf(error));
    });
    return server;
  }

  #run(handshake: Handshake): void {
    this.#running.set(handshake.key, handshake);
    handshake.raw.once('close', () => this.#fail(handshake, 'tls-handshake-failed'));
    this.#server?.emit('connection', handshake.raw);
  }

  #fail(handshake: Handshake, reason: string): void {
    if (this.#finish(handshake, null, reason)) handshake.raw.destroy();
  }

  #finish(handshake: Handshake, socket: TLSSocket | null, failure: string): boolean {
    if (handshake.settled) return false;
    handshake.settled = true;
    clearTimeout(handshake.timer);
    this.#waiting.delete(handshake);
    const ran = this.#running.get(handshake.key) === handshake;
    if (ran) this.#running.delete(handshake.key);
    handshake.done(socket, failure);
    const [next] = this.#waiting;
    if (ran && next !== undefined) {
      this.#waiting.delete(next);
      this.#run(next);
    }
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
  if (/UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW|WRONG_VERSION/.test(code)) return 'tls-version';
  if (/HTTP_REQUEST|WRONG_VERSION_NUMBER|PACKET_LENGTH/.test(code)) return 'not-tls';
  if (/ALERT_UNKNOWN_CA|ALERT_BAD_CERTIFICATE|CERTIFICATE_UNKNOWN/.test(code)) {
    return 'certificate-not-trusted';
  }
  return 'tls-handshake-failed';
}
