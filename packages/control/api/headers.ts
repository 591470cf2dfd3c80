/** Headers that every answer carries, and what is taken from the caller's. Pure. */
import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { MAX_CALLER_ID } from './limits.ts';

/** Ids of one request, for its headers, its audit record and the log. */
export interface RequestIds {
  readonly requestId: string;
  readonly correlationId: string;
}

export function requestIds(headers: IncomingHttpHeaders): RequestIds {
  const requestId = randomUUID();
  return {
    requestId,
    correlationId: callerId(headers, 'x-ms-correlation-request-id') ?? requestId,
  };
}

export function standardHeaders(
  ids: RequestIds,
  headers: IncomingHttpHeaders,
  now: number,
): Record<string, string> {
  const stamp = `${new Date(now).toISOString().replace(/[-:]/g, '').slice(0, 15)}Z`;
  const clientId = callerId(headers, 'x-ms-client-request-id');
  const wantsBack = first(headers['x-ms-return-client-request-id'])?.toLowerCase() === 'true';
  return {
    'x-ms-request-id': ids.requestId,
    'x-ms-correlation-request-id': ids.correlationId,
    'x-ms-routing-request-id': `LOCAL:${stamp}:${ids.requestId}`,
    ...(wantsBack && clientId !== null ? { 'x-ms-client-request-id': clientId } : {}),
    'cache-control': 'no-cache',
    pragma: 'no-cache',
    'strict-transport-security': 'max-age=31536000; includeSubDomains',
    'x-content-type-options': 'nosniff',
  };
}

export function challenge(base: string, tenantId: string, code: string, message: string): string {
  const text = message.replace(/["\\\r\n]/g, "'");
  const error = code === 'AuthenticationFailed' ? 'invalid_request' : 'invalid_token';
  return `Bearer authorization_uri="${base}/${tenantId}", error="${error}", error_description="${text}"`;
}

/**
 * Scheme and host by which the caller reached us, for the URLs that we hand out: they must lead back
 * here under the name that its certificate check accepted. What cannot be a host is not repeated.
 */
export function baseUrl(
  headers: IncomingHttpHeaders,
  socket: { readonly encrypted: boolean; readonly address: string; readonly port: number },
): string {
  const scheme = socket.encrypted ? 'https' : 'http';
  const host = headers.host ?? '';
  if (/^([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:\d{1,5})?$/.test(host)) {
    return `${scheme}://${host}`;
  }
  const address = socket.address.includes(':') ? `[${socket.address}]` : socket.address;
  return `${scheme}://${address}:${socket.port}`;
}

/** Ids come back in headers and records: only what an id can be made of. */
function callerId(headers: IncomingHttpHeaders, name: string): string | null {
  const value = first(headers[name]);
  if (value === undefined || value.length > MAX_CALLER_ID) return null;
  return /^[A-Za-z0-9._:;=/+{}|-]+$/.test(value) ? value : null;
}

function first(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
