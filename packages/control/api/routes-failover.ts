/** Failover on request: planned, without loss; or letting an older copy serve. */
import type { Answer } from './answer.ts';
import { type Call, databaseOf } from './call.ts';
import { asyncHeaders } from './lro.ts';
import type { Route } from './router.ts';
import { DATABASE_PATH } from './routes-databases.ts';

export const FAILOVER_ROUTES: readonly Route[] = [
  { method: 'POST', path: `${DATABASE_PATH}/failover`, kind: 'extension', handle: failover },
];

function failover(call: Call): Answer {
  const { database } = databaseOf(call);
  const { acceptDataLoss, shard } = call.bodies.small.failover(call);
  const operation = call.service.failover(
    database.id,
    { acceptDataLoss: acceptDataLoss === true, shard: shard ?? null },
    call.actor,
  );
  return {
    status: 202,
    body: { operation: operation.id, shards: operation.input['shards'] },
    headers: asyncHeaders(call, operation, 'result'),
  };
}
