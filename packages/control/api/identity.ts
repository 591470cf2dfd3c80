/**
 * Who calls. A caller presents either the installation's API token itself, or an access token that
 * our token server issued for it (Azure's clients cannot do without one: they log in first).
 *
 * Access tokens are JWTs signed with HMAC-SHA-256 under a key that is derived from the API token:
 * nothing is stored, they survive a restart, and all of them end when the API token is replaced.
 * Only that one algorithm is ever accepted; the header of a token decides nothing.
 */
import { createHash, createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { matchSecret, secretHash } from '../auth/keys.ts';
import { TOKEN_FILE } from '../boot-protocol.ts';
import { ControlError } from '../errors.ts';
import { CLOCK_SKEW_S, TOKEN_LIFETIME_S } from './limits.ts';

export interface Caller {
  /** For records: 'api-token', or the client id of an access token. */
  readonly name: string;
}

interface Claims {
  readonly iss: string;
  readonly aud: string;
  readonly iat: number;
  readonly nbf: number;
  readonly exp: number;
  readonly appid: string;
  readonly azp: string;
  readonly oid: string;
  readonly sub: string;
  readonly tid: string;
  readonly idtyp: 'app';
  readonly ver: '2.0';
}

const HAVE_ONE = `Send 'Bearer' and the content of the file ${TOKEN_FILE} in the data folder (cinnabar status names it), or an access token of a new login.`;

export class Identity {
  /** The tenant that this installation says it belongs to. */
  readonly tenantId: string;
  readonly #hashes: readonly string[];
  readonly #key: Buffer;
  readonly #now: () => number;

  constructor(token: string, subscriptionId: string, now: () => number) {
    this.tenantId = guidFrom(`tenant ${subscriptionId}`);
    this.#hashes = [secretHash(token)];
    this.#key = Buffer.from(hkdfSync('sha256', token, '', 'cinnabar access tokens', 32));
    this.#now = now;
  }

  /** Throws ControlError 401. */
  authenticate(authorization: string | undefined): Caller {
    if (authorization === undefined || authorization === '') {
      throw new ControlError(
        'AuthenticationFailed',
        401,
        `Authentication failed. The 'Authorization' header is missing. ${HAVE_ONE}`,
      );
    }
    const token = /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
    if (token === undefined) throw invalid(`The header must be: Bearer <token>. ${HAVE_ONE}`);
    if (this.isSecret(token)) return { name: 'api-token' };
    return { name: this.#verify(token).appid };
  }

  /** Whether it is the API token. */
  isSecret(presented: string): boolean {
    return matchSecret(presented, this.#hashes) === 0;
  }

  issue(request: {
    readonly clientId: string;
    readonly tenant: string;
    readonly audience: string;
    readonly issuer: string;
  }): string {
    const now = Math.floor(this.#now() / 1000);
    const oid = guidFrom(`object ${request.clientId.toLowerCase()}`);
    const claims: Claims = {
      iss: request.issuer,
      aud: request.audience,
      iat: now,
      nbf: now,
      exp: now + TOKEN_LIFETIME_S,
      appid: request.clientId,
      azp: request.clientId,
      oid,
      sub: oid,
      tid: isGuid(request.tenant) ? request.tenant.toLowerCase() : this.tenantId,
      idtyp: 'app',
      ver: '2.0',
    };
    const head = encode({ typ: 'JWT', alg: 'HS256' });
    const body = `${head}.${encode(claims)}`;
    return `${body}.${this.#sign(body).toString('base64url')}`;
  }

  #sign(text: string): Buffer {
    return createHmac('sha256', this.#key).update(text).digest();
  }

  #verify(token: string): Claims {
    const end = token.lastIndexOf('.');
    const signature = Buffer.from(token.slice(end + 1), 'base64url');
    const expected = this.#sign(token.slice(0, Math.max(0, end)));
    if (signature.length !== expected.length || !timingSafeEqual(signature, expected)) {
      throw invalid(
        `It is not the API token, and no access token of this installation. ${HAVE_ONE}`,
      );
    }
    const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8');
    const claims = JSON.parse(payload) as Claims; // signed by us: its shape is ours
    const now = Math.floor(this.#now() / 1000);
    if (now > claims.exp + CLOCK_SKEW_S) {
      throw new ControlError(
        'ExpiredAuthenticationToken',
        401,
        `The access token expired at ${new Date(claims.exp * 1000).toISOString()}. Log in again.`,
      );
    }
    if (now < claims.nbf - CLOCK_SKEW_S)
      throw invalid('It is not valid yet, because a clock went back. Log in again.');
    return claims;
  }
}

function invalid(why: string): ControlError {
  return new ControlError('InvalidAuthenticationToken', 401, `The access token is invalid. ${why}`);
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value), 'utf8').toString('base64url');
}

export function isGuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}

/** A stable GUID (version 8, RFC 9562) of a text. */
export function guidFrom(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  const variant = ((Number.parseInt(hex.slice(16, 18), 16) & 0x3f) | 0x80).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(18, 20)}-${hex.slice(20, 32)}`;
}
