/** Looking at a database that works: what is counted, who is connected, what was large, what was slow. */
import { ControlError } from '../errors.ts';
import { type Answer, NO_CONTENT, ok } from './answer.ts';
import { type Call, databaseOf, param } from './call.ts';
import { DEFAULT_HISTORY, MAX_CLIENTS_LISTED, MAX_STATS_SECONDS } from './limits.ts';
import type { Route } from './router.ts';
import { DATABASE_PATH } from './routes-databases.ts';

export const OBSERVE_ROUTES: readonly Route[] = [
  get('stats', async (call, id) =>
    ok(await call.context.observe.stats(id, numberOf(call, 'seconds', null, MAX_STATS_SECONDS))),
  ),
  get('large', async (call, id) => ok(await call.context.observe.large(id, top(call)))),
  get('clients', async (call, id) => ok(await call.context.observe.clients(id, top(call)))),
  get('slowlog', async (call, id) =>
    ok(await call.context.observe.slowlog(id, top(call), wantsAll(call))),
  ),
  {
    method: 'POST',
    path: `${DATABASE_PATH}/clients/:client/kill`,
    kind: 'extension',
    handle: kill,
  },
  { method: 'GET', path: '/metrics', kind: 'extension', handle: metrics },
];

function get(what: string, handle: (call: Call, id: string) => Promise<Answer>): Route {
  return {
    method: 'GET',
    path: `${DATABASE_PATH}/${what}`,
    kind: 'extension',
    handle: (call) => handle(call, databaseOf(call).database.id),
  };
}

async function kill(call: Call): Promise<Answer> {
  const { database } = databaseOf(call);
  const client = param(call, 'client');
  if (await call.context.observe.kill(database.id, client)) return NO_CONTENT;
  throw new ControlError(
    'ClientNotFound',
    404,
    `There is no client '${client.slice(0, 60)}' (any more): list them again.`,
  );
}

async function metrics(call: Call): Promise<Answer> {
  return {
    status: 200,
    text: await call.context.observe.metrics(),
    headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' },
  };
}

function wantsAll(call: Call): boolean {
  const text = call.query.get('all') ?? 'false';
  if (text === 'true' || text === 'false') return text === 'true';
  throw new ControlError('InvalidParameter', 400, `all is 'true' or 'false'.`, 'all');
}

function top(call: Call): number {
  return numberOf(call, 'top', DEFAULT_HISTORY, MAX_CLIENTS_LISTED);
}

function numberOf<T extends number | null>(
  call: Call,
  name: string,
  absent: T,
  most: number,
): number | T {
  const text = call.query.get(name);
  if (text === undefined || text === '') return absent;
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw new ControlError(
    'InvalidParameter',
    400,
    `${name} '${text.slice(0, 40)}' is not valid: 1 to ${most}.`,
    name,
  );
}
