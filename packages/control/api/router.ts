/**
 * Which route a request means. A table and a loop instead of the framework's router, because ARM's
 * rules are not a framework's: fixed words match in any case, an unknown path is one of several
 * errors, and most errors come in an order (token, version, subscription, group) that holds for
 * paths that match nothing, too. Pure.
 */
import type { Answer } from './answer.ts';
import type { Call } from './call.ts';

export type Method = 'GET' | 'PUT' | 'PATCH' | 'POST' | 'DELETE';

/**
 * - open: no token, no api-version: discovery and the token server.
 * - core: Resource Manager's own; any well-formed api-version.
 * - provider: Microsoft.Cache; an api-version of its table.
 * - extension: ours; token, but no api-version.
 */
export type RouteKind = 'open' | 'core' | 'provider' | 'extension';

export interface Route {
  readonly method: Method;
  /** '/subscriptions/:sub/...': ':name' takes one segment. */
  readonly path: string;
  readonly kind: RouteKind;
  /** The group in the path need not exist (any more). */
  readonly anyGroup?: boolean;
  /** The body is a form, not JSON. */
  readonly form?: boolean;
  handle(call: Call): Answer | Promise<Answer>;
}

interface Compiled {
  readonly route: Route;
  readonly parts: readonly string[];
}

export type Match =
  | { readonly found: Route; readonly params: Readonly<Record<string, string>> }
  /** The path exists, but with other methods. */
  | { readonly found: null; readonly allowed: readonly Method[] };

export class Router {
  readonly #byLength = new Map<number, Compiled[]>();

  constructor(routes: readonly Route[]) {
    for (const route of routes) {
      const parts = route.path.split('/').filter((part) => part !== '');
      const list = this.#byLength.get(parts.length) ?? [];
      list.push({
        route,
        parts: parts.map((part) => (part.startsWith(':') ? part : part.toLowerCase())),
      });
      this.#byLength.set(parts.length, list);
    }
  }

  /** HEAD finds the route of GET. The first route in the table wins. */
  match(method: string, segments: readonly string[]): Match {
    const wanted = method === 'HEAD' ? 'GET' : method;
    const allowed = new Set<Method>();
    for (const { route, parts } of this.#byLength.get(segments.length) ?? []) {
      const params = matchParts(parts, segments);
      if (params === null) continue;
      if (route.method === wanted) return { found: route, params };
      allowed.add(route.method);
    }
    return { found: null, allowed: [...allowed] };
  }
}

function matchParts(
  parts: readonly string[],
  segments: readonly string[],
): Record<string, string> | null {
  const params: Record<string, string> = {};
  for (const [index, part] of parts.entries()) {
    const segment = segments[index] ?? '';
    if (part.startsWith(':')) params[part.slice(1)] = segment;
    else if (part !== segment.toLowerCase()) return null;
  }
  return params;
}
