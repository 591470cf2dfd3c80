/**
 * Request targets as ARM reads them: segments match without regard to case, empty ones are
 * dropped (az writes `Microsoft.Cache//redisEnterprise`, a trailing slash of a configured endpoint
 * gives `//metadata/endpoints`), query names have no case. Pure.
 */
import { MAX_SEGMENTS, MAX_URL_LENGTH } from './limits.ts';

export interface Target {
  /** Decoded, in the caller's case, none empty. */
  readonly segments: readonly string[];
  /** Names in lower case; of a repeated name the first counts. */
  readonly query: ReadonlyMap<string, string>;
}

/** Null: not a target that can be read (bad percent-encoding, too long). */
export function parseTarget(url: string): Target | null {
  if (url.length > MAX_URL_LENGTH) return null;
  const end = url.search(/[?#]/);
  const path = end === -1 ? url : url.slice(0, end);
  const parts = path.split('/').filter((part) => part !== '');
  if (parts.length > MAX_SEGMENTS) return null;
  const segments: string[] = [];
  for (const part of parts) {
    try {
      segments.push(decodeURIComponent(part));
    } catch {
      return null;
    }
  }
  return { segments, query: parseQuery(end === -1 ? '' : url.slice(end + 1)) };
}

function parseQuery(text: string): ReadonlyMap<string, string> {
  const query = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(text.split('#')[0])) {
    const key = name.toLowerCase();
    if (!query.has(key)) query.set(key, value);
  }
  return query;
}
