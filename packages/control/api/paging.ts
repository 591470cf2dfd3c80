/** Lists: `value`, and an absolute `nextLink` with the caller's api-version where there is more. */
import { ControlError } from '../errors.ts';
import type { Answer } from './answer.ts';
import type { Call } from './call.ts';
import { PAGE_SIZE } from './limits.ts';

/**
 * One page of `items`, which must come in a stable order with a unique key each. The token is the
 * last key of the page before: items that come or go meanwhile do not shift the rest.
 */
export function page<T>(
  call: Call,
  items: readonly T[],
  keyOf: (item: T) => string,
  view: (item: T) => unknown,
): Answer {
  const after = call.query.get('$skiptoken');
  const last = after === undefined ? null : decodeToken(after);
  const sorted = items
    .map((item) => ({ key: keyOf(item), item }))
    .filter(({ key }) => last === null || key > last)
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  const size = topOf(call);
  const chosen = sorted.slice(0, size);
  const value = chosen.map(({ item }) => view(item));
  const end = chosen.at(-1);
  if (sorted.length <= size || end === undefined) return { status: 200, body: { value } };
  return { status: 200, body: { value, nextLink: nextLink(call, end.key) } };
}

function topOf(call: Call): number {
  const top = call.query.get('$top');
  if (top === undefined || top === '') return PAGE_SIZE;
  const count = Number(top);
  if (Number.isInteger(count) && count >= 1) return Math.min(count, PAGE_SIZE);
  throw new ControlError(
    'InvalidParameter',
    400,
    `$top '${top.slice(0, 20)}' is not a number of items: 1 or more.`,
    '$top',
  );
}

function nextLink(call: Call, key: string): string {
  const query = new URLSearchParams();
  for (const [name, value] of call.query) {
    if (name !== '$skiptoken' && value !== '') query.append(name, value);
  }
  query.append('$skiptoken', Buffer.from(key, 'utf8').toString('base64url'));
  return `${call.base}${call.path}?${query}`;
}

function decodeToken(token: string): string {
  return Buffer.from(token, 'base64url').toString('utf8');
}
