/**
 * The listeners of the API: plain HTTP on loopback, HTTPS where certificates are (Azure's clients
 * put a token on nothing else). All of them feed one application, so that the bounds on what is
 * answered at once hold for all together.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { ControlError } from '../errors.ts';
import { distinctHosts } from '../listen.ts';
import type { ServedCertificate } from '../tls/contract.ts';
import { errorBody } from './answer.ts';
import { buildApp } from './app.ts';
import type { ApiContext } from './context.ts';
import {
  HEADERS_TIMEOUT_MS,
  KEEP_ALIVE_MS,
  MAX_CONNECTIONS,
  MAX_HEADER_BYTES,
  MAX_IN_FLIGHT,
  REQUEST_TIMEOUT_MS,
  RETRY_AFTER_S,
  SOCKET_TIMEOUT_MS,
  STOP_GRACE_MS,
  TIMEOUT_CHECK_MS,
} from './limits.ts';

export interface ListenerOptions {
  /** All must work but ::1, which a machine without IPv6 does not have. */
  readonly hosts: readonly string[];
  /** 0: any free one, the same for all hosts. */
  readonly port: number;
}

export interface ApiOptions {
  readonly http: ListenerOptions | null;
  readonly https: (ListenerOptions & { readonly certificate: ServedCertificate }) | null;
}

export interface RunningApi {
  /** Base URLs without a trailing slash. */
  readonly http: string | null;
  readonly https: string | null;
  /** New connections get the new certificate; open ones go on. */
  reload(certificate: ServedCertificate): void;
  /** Lets answers in flight finish, then ends every connection. */
  stop(): Promise<void>;
}

// `import` would look at every export, and one of them makes Node load its whole fetch.
const { createServer } = process.getBuiltinModule('node:http');
const { createServer: createTlsServer } = process.getBuiltinModule('node:https');

type Listener = (request: IncomingMessage, response: ServerResponse) => void;

const SERVER_OPTIONS = {
  maxHeaderSize: MAX_HEADER_BYTES,
  headersTimeout: HEADERS_TIMEOUT_MS,
  requestTimeout: REQUEST_TIMEOUT_MS,
  keepAliveTimeout: KEEP_ALIVE_MS,
  connectionsCheckingInterval: TIMEOUT_CHECK_MS,
};

/** Throws ControlError `port-in-use`. */
export async function startApi(context: ApiContext, options: ApiOptions): Promise<RunningApi> {
  const app = buildApp(context);
  await app.ready();
  const listener = bounded((request, response) => app.routing(request, response));
  const servers: (Server | TlsServer)[] = [];
  const secure: TlsServer[] = [];
  const stop = async () => {
    await Promise.all(servers.map(closeServer));
    await app.close();
  };

  const open = async (wanted: ListenerOptions, make: () => Server | TlsServer): Promise<number> => {
    let { port } = wanted;
    for (const host of distinctHosts(wanted.hosts)) {
      const server = make();
      try {
        port = await listen(server, host, port);
      } catch (error) {
        if (host === '::1' && isMissingFamily(error)) continue;
        throw portError(error, host, port);
      }
      servers.push(server);
    }
    return port;
  };

  try {
    let http: string | null = null;
    let https: string | null = null;
    if (options.http !== null) {
      const port = await open(options.http, () => plainServer(listener));
      http = `http://127.0.0.1:${port}`;
    }
    if (options.https !== null) {
      const { certificate } = options.https;
      const port = await open(options.https, () => {
        const server = tlsServer(listener, certificate);
        secure.push(server);
        return server;
      });
      https = `https://127.0.0.1:${port}`;
    }
    const reload = (certificate: ServedCertificate) => {
      for (const server of secure) server.setSecureContext(material(certificate));
    };
    return { http, https, reload, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Beyond the bound a request is refused at once: waiting would only move the queue in here. */
function bounded(listener: Listener): Listener {
  let inFlight = 0;
  return (request, response) => {
    if (inFlight >= MAX_IN_FLIGHT) {
      request.resume();
      response
        .writeHead(503, { ...bareHeaders(), 'retry-after': String(RETRY_AFTER_S) })
        .end(
          text(
            new ControlError(
              'ServiceUnavailable',
              503,
              `${MAX_IN_FLIGHT} requests are being answered already. Try again in a second.`,
            ),
          ),
        );
      return;
    }
    inFlight++;
    response.once('close', () => {
      inFlight--;
    });
    listener(request, response);
  };
}

function plainServer(listener: Listener): Server {
  return withBounds(createServer(SERVER_OPTIONS, listener));
}

function tlsServer(listener: Listener, certificate: ServedCertificate): TlsServer {
  return withBounds(
    createTlsServer(
      {
        ...SERVER_OPTIONS,
        ...material(certificate),
        minVersion: 'TLSv1.2',
        handshakeTimeout: HEADERS_TIMEOUT_MS,
      },
      listener,
    ),
  );
}

function material(certificate: ServedCertificate): { cert: Buffer; key: Buffer } {
  return { cert: readFileSync(certificate.certFile), key: readFileSync(certificate.keyFile) };
}

function withBounds<T extends Server | TlsServer>(server: T): T {
  server.maxConnections = MAX_CONNECTIONS;
  server.setTimeout(SOCKET_TIMEOUT_MS);
  server.on('clientError', answerUnreadable);
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    request.resume();
    response
      .writeHead(417, bareHeaders())
      .end(text(new ControlError('ExpectationFailed', 417, 'Only Expect: 100-continue is met.')));
  });
  return server;
}

/** What Node could not read as a request: say so in JSON, and end the connection. */
function answerUnreadable(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, reason, code] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? [431, 'Request Header Fields Too Large', 'RequestHeadersTooLarge']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, 'Request Timeout', 'RequestTimeout']
        : [400, 'Bad Request', 'BadRequest'];
  const body = text(
    new ControlError(String(code), Number(status), `The request cannot be read: ${reason}.`),
  );
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

/** Of answers that are given before a request is looked at. */
function bareHeaders(): Record<string, string> {
  const id = randomUUID();
  return {
    'content-type': 'application/json; charset=utf-8',
    'x-ms-request-id': id,
    'x-ms-correlation-request-id': id,
  };
}

function text(error: ControlError): string {
  return JSON.stringify(errorBody(error));
}

function listen(server: Server | TlsServer, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, ipv6Only: host.includes(':') }, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function isMissingFamily(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT';
}

/** Why the API cannot listen there, in words; any other error comes back as it is. */
export function portError(error: unknown, host: string, port: number): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code !== 'EADDRINUSE' && code !== 'EACCES' && code !== 'EADDRNOTAVAIL') return error;
  const why =
    code === 'EADDRINUSE'
      ? 'another process listens there'
      : code === 'EACCES'
        ? 'this user may not listen there'
        : 'this machine has no such address';
  return new ControlError(
    'port-in-use',
    409,
    `The management API cannot listen on ${host} port ${port}: ${why}. ${code === 'EADDRINUSE' ? 'End it, or name' : 'Name'} another port with --api-port or --https-port.`,
  );
}

async function closeServer(server: Server | TlsServer): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), STOP_GRACE_MS);
  await closed;
  clearTimeout(timer);
}
