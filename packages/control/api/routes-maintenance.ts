/** Maintenance: now, skipped, and what comes. Also Azure's request for a newer engine. */
import { Type } from 'typebox';
import type { OperationRecord } from '../store/records.ts';
import type { Answer } from './answer.ts';
import { ok } from './answer.ts';
import { type Call, databaseOf } from './call.ts';
import { readFields } from './fields.ts';
import { asyncHeaders } from './lro.ts';
import type { Route } from './router.ts';
import { DATABASE_PATH } from './routes-databases.ts';

const MaintainBody = Type.Object({ skip: Type.Optional(Type.Boolean()) });

export const MAINTENANCE_ROUTES: readonly Route[] = [
  {
    method: 'GET',
    path: '/cinnabar/maintenance',
    kind: 'extension',
    handle: (call) => ok({ value: call.context.maintenance.calendar() }),
  },
  {
    method: 'GET',
    path: `${DATABASE_PATH}/maintenance`,
    kind: 'extension',
    handle: (call) => ok(call.context.maintenance.view(databaseOf(call).database.id)),
  },
  { method: 'POST', path: `${DATABASE_PATH}/maintain`, kind: 'extension', handle: maintain },
  {
    method: 'POST',
    path: `${DATABASE_PATH}/upgradeDBRedisVersion`,
    kind: 'provider',
    handle: upgrade,
  },
];

function maintain(call: Call): Answer {
  const { database } = databaseOf(call);
  const { value, ignored } = readFields(MaintainBody, call.body, call.version);
  call.ignored(ignored);
  const desk = call.context.maintenance;
  if (value.skip === true) return ok(desk.skip(database.id, call.actor));
  return accepted(call, desk.ask(database.id, null, call.actor), true);
}

function upgrade(call: Call): Answer {
  const { database } = databaseOf(call);
  return accepted(call, call.context.maintenance.ask(database.id, 'engine', call.actor), false);
}

/** Azure's answer to an upgrade has no body. */
function accepted(call: Call, operation: OperationRecord, said: boolean): Answer {
  const headers = asyncHeaders(call, operation, 'result');
  return said
    ? { status: 202, body: { operation: operation.id }, headers }
    : { status: 202, headers };
}
