/**
 * What can go wrong in the kit itself. Each has a stable code, says what was wrong and what to do.
 * Errors of the server and of the client library are passed through untouched.
 *
 * Checks work across two copies of the package: `instanceof` looks at a registered symbol.
 */

export type KitErrorCode =
  | 'ERR_CLIENT_DEADLINE'
  | 'ERR_CLIENT_UNKNOWN_OUTCOME'
  | 'ERR_CLIENT_ABORTED'
  | 'ERR_CLIENT_CIRCUIT_OPEN'
  | 'ERR_CLIENT_OFFLINE'
  | 'ERR_CLIENT_QUEUE_FULL'
  | 'ERR_CLIENT_CLOSED'
  | 'ERR_CLIENT_FACTORY'
  | 'ERR_CLIENT_LOST'
  | 'ERR_CLIENT_GUARD'
  | 'ERR_CLIENT_UNSUPPORTED'
  | 'ERR_CLIENT_OPTION'
  | 'ERR_CLIENT_CHUNK_TORN'
  | 'ERR_CLIENT_CHUNK_CONFLICT'
  | 'ERR_CLIENT_CHUNK_FORMAT'
  | 'ERR_CLIENT_BATCH'
  | 'ERR_CLIENT_TOKEN';

const brand = Symbol.for('cinnabar.client.error');

export class KitError extends Error {
  readonly code: KitErrorCode;
  readonly [brand] = true;

  constructor(code: KitErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.name = 'KitError';
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (typeof value !== 'object' || value === null || !(brand in value)) return false;
    // biome-ignore lint/complexity/noThisInStatic: a subclass must ask about itself.
    return this === KitError || ('name' in value && value.name === this.name);
  }
}

/** Why a command was late; see telemetry/explain.ts for how each part is found. */
export interface Lateness {
  readonly command: string;
  readonly key: string | undefined;
  readonly waitedMs: number;
  /** Before it was written to the socket. */
  readonly queueMs: number;
  /** Written, but behind other commands of the same connection. */
  readonly behindMs: number;
  /** At the head of the connection, no byte of its reply yet. */
  readonly serverMs: number;
  /** Bytes of its reply were on their way. */
  readonly wireMs: number;
  /** What was in front of it, nearest the server first. */
  readonly inFront: readonly FrontCommand[];
  readonly inFrontCount: number;
  readonly cause:
    | 'behind-others'
    | 'server'
    | 'own-wait'
    | 'transfer'
    | 'not-connected'
    | 'not-written';
  readonly remedy: string;
}

export interface FrontCommand {
  readonly command: string;
  readonly key: string | undefined;
  readonly bytesOut: number;
  /** Of the reply: so far, and as its header announced (undefined: no header yet). */
  readonly bytesIn: number;
  readonly announced: number | undefined;
}

export class DeadlineError extends KitError {
  readonly lateness: Lateness;
  /** True when the command may have run: it was written and not answered. */
  readonly outcomeUnknown: boolean;

  constructor(message: string, lateness: Lateness, outcomeUnknown: boolean) {
    super('ERR_CLIENT_DEADLINE', message);
    this.name = 'DeadlineError';
    this.lateness = lateness;
    this.outcomeUnknown = outcomeUnknown;
  }
}

/**
 * The connection ended after the command was written and before its reply, or the server says that it lost what had
 * it (`cause`): it ran, or it did not.
 */
export class UnknownOutcomeError extends KitError {
  readonly command: string;
  readonly key: string | undefined;

  constructor(
    command: string,
    key: string | undefined,
    cause: unknown,
    what = 'the connection ended before the reply',
  ) {
    const of = key === undefined ? command : `${command} ${key}`;
    super(
      'ERR_CLIENT_UNKNOWN_OUTCOME',
      `${of}: ${what}, so it may or may not have run. ` +
        'Read the key to find out, or declare the call idempotent to have it repeated.',
      { cause },
    );
    this.name = 'UnknownOutcomeError';
    this.command = command;
    this.key = key;
  }
}

/** The application's factory did not make a client for a further connection. */
export class FactoryError extends KitError {
  constructor(problem: string, cause?: unknown) {
    super(
      'ERR_CLIENT_FACTORY',
      `the factory given to lanes() ${problem}. It is called once for each connection, also later, and must make a new client each time`,
      { cause },
    );
    this.name = 'FactoryError';
  }
}

export class CircuitOpenError extends KitError {
  readonly endpoint: string;
  readonly retryInMs: number;

  constructor(endpoint: string, retryInMs: number) {
    super(
      'ERR_CLIENT_CIRCUIT_OPEN',
      `${endpoint}: too many calls failed lately; calls are refused for ${Math.ceil(retryInMs)} ms more. ` +
        'Serve without the cache meanwhile.',
    );
    this.name = 'CircuitOpenError';
    this.endpoint = endpoint;
    this.retryInMs = retryInMs;
  }
}

const notAgain = {
  'no attempt left': 'its attempts are used up (retries.attempts)',
  'no budget left': 'too much was repeated lately in this process (retries.budget)',
  'in a transaction': 'its transaction did not run: begin it again',
};

/** A call that may be repeated and is not: its attempts, or what this process may repeat, are used up. */
export function lostForGood(
  label: string,
  written: boolean,
  left: keyof typeof notAgain,
  cause: unknown,
  why: unknown,
): KitError {
  const told = `${label}: the connection ended before ${written ? 'the reply' : 'it was sent'}, and ${notAgain[left]}`;
  if (written || why === undefined) {
    const code = written ? 'ERR_CLIENT_LOST' : 'ERR_CLIENT_OFFLINE';
    return new KitError(code, `${told}: ${messageOf(cause)}`, { cause });
  }
  return new KitError('ERR_CLIENT_OFFLINE', `${told}${whyOffline(why)}`, { cause: why });
}

const untrusted =
  'the certificate is signed by a CA that this process does not trust: name its file in NODE_EXTRA_CA_CERTS, ' +
  'or give it to the client (ioredis, iovalkey: tls: { ca }; redis: socket: { tls: true, ca })';

const remedies: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  UNABLE_TO_GET_ISSUER_CERT: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  ERR_TLS_CERT_ALTNAME_INVALID: 'connect by a host name that the certificate is for',
  ECONNREFUSED: 'nothing listens there: check host and port, and that the server runs',
  ENOTFOUND: 'no such host: check its name',
  WRONGPASS: 'the access key or token is not valid (any more): give the newest',
  NOAUTH: 'the server wants an access key or token, and none was given',
};

/** The end of a message about no connection: the last error that one had, and what to do about it. */
export function whyOffline(cause: unknown): string {
  if (cause === undefined) return '';
  const all = cause instanceof AggregateError ? cause.errors : [cause];
  const text = messageOf(cause) || all.map(messageOf).join(', ');
  const codes = all.flatMap((one) => [
    String(Reflect.get(Object(one), 'code')),
    messageOf(one).split(' ', 1)[0],
  ]);
  const remedy = codes.map((code) => remedies[code ?? '']).find((found) => found !== undefined);
  return `; the last attempt to connect failed: ${text}${remedy === undefined ? '' : ` (${remedy})`}`;
}

/** No attempt to connect will do better: the process has to be told of the CA. */
export function saysUntrusted(error: unknown): boolean {
  return remedies[String(Reflect.get(Object(error), 'code'))] === untrusted;
}

export function aborted(command: string, reason: unknown): KitError {
  return new KitError('ERR_CLIENT_ABORTED', `${command}: aborted by its signal`, { cause: reason });
}

export function refusedHere(label: string): KitError {
  return new KitError(
    'ERR_CLIENT_UNSUPPORTED',
    `${label} changes what one connection is, and calls here share several: use a client of its own (duplicate())`,
  );
}

/** In a batch it would change the one connection that the batch is on. */
export function notInBatch(command: string, batch: string): KitError {
  return new KitError(
    'ERR_CLIENT_UNSUPPORTED',
    `${command} in a ${batch}: it is for all connections of this client, and a batch goes over one; call it by itself before`,
  );
}

export function closedError(label: string): KitError {
  return new KitError('ERR_CLIENT_CLOSED', `${label}: the client was closed`);
}

export function tooManyWait(label: string, count: number): KitError {
  return new KitError('ERR_CLIENT_QUEUE_FULL', `${label}: ${count} calls wait already`);
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
