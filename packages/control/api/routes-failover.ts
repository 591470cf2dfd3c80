/** Failover on request: planned, without loss; or letting an older copy serve. */
import { Type } from 'typebox';
import type { Answer } from './answer.ts';
import { type Call, databaseOf } from './call.ts';
import { readFields } from './fields.ts';
import { asyncHeaders } from './lro.ts';
import type { Route } from './router.ts';
import { DATABASE_PATH } from './routes-databases.ts';

const FailoverBody = Type.Object({
  acceptDataLoss: Type.Optional(Type.Boolean()),
  shard: Type.Optional(Type.Integer({ minimum: 0 })),
});

export const FAILOVER_ROUTES: readonly Route[] = [
  { method: 'POST', path: `${DATABASE_PATH}/failover`, kind: 'extension', handle: failover },
];

function failover(call: Call): Answer {
  const { database } = databaseOf(call);
  const { value, ignored } = readFields(FailoverBody, call.body, call.version);
  call.ignored(ignored);
  const operation = call.service.failover(
    database.id,
    { acceptDataLoss: value.acceptDataLoss === true, shard: value.shard ?? null },
    call.actor,
  );
  return {
    status: 202,
    body: { operation: operation.id, shards: operation.input['shards'] },
    headers: asyncHeaders(call, operation, 'result'),
  };
}
