/** Maintenance: now, skipped, and what comes. Also Azure's request for a newer engine. */
import { ControlError } from '../errors.ts';
import type { OperationRecord } from '../store/records.ts';
import type { Answer } from './answer.ts';
import { ok } from './answer.ts';
import { type Call, databaseOf } from './call.ts';
import { asyncHeaders } from './lro.ts';
import type { Route } from './router.ts';
import { DATABASE_PATH } from './routes-databases.ts';

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
    handle: azureUpgrade,
  },
  { method: 'POST', path: `${DATABASE_PATH}/upgrade`, kind: 'extension', handle: upgrade },
];

function maintain(call: Call): Answer {
  const { database } = databaseOf(call);
  const { skip } = call.bodies.small.maintain(call);
  const desk = call.context.maintenance;
  if (skip === true) return ok(desk.skip(database.id, call.actor));
  return accepted(call, desk.ask(database.id, call.actor), true);
}

/** Azure's: no body, and the way back for as long as if nobody said. */
function azureUpgrade(call: Call): Answer {
  const { database } = databaseOf(call);
  return accepted(call, call.context.maintenance.upgrade(database.id, null, call.actor), false);
}

async function upgrade(call: Call): Promise<Answer> {
  const { database } = databaseOf(call);
  const desk = call.context.maintenance;
  const { back = false, finish = false, wayBackHours } = call.bodies.small.upgrade(call);
  if ([back, finish, wayBackHours !== undefined].filter(Boolean).length > 1) {
    throw new ControlError(
      'OneThingAtATime',
      400,
      'Ask for one of: back, finish, or an upgrade with wayBackHours.',
    );
  }
  if (finish) return ok(await desk.finish(database.id, call.actor));
  const operation = back
    ? desk.back(database.id, call.actor)
    : desk.upgrade(database.id, wayBackHours ?? null, call.actor);
  return accepted(call, operation, true);
}

/** Azure's answer to an upgrade has no body. */
function accepted(call: Call, operation: OperationRecord, said: boolean): Answer {
  const headers = asyncHeaders(call, operation, 'result');
  return said
    ? { status: 202, body: { operation: operation.id }, headers }
    : { status: 202, headers };
}
