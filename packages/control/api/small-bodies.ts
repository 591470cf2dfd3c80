/** Bodies of a field or two. */
import { type Static, type TSchema, Type } from 'typebox';
import type { Call } from './call.ts';
import { readFields } from './fields.ts';
import { MAX_FAILPOINT_MS } from './limits.ts';

function reader<S extends TSchema>(schema: S): (call: Call) => Static<S> {
  return (call) => {
    const { value, ignored } = readFields(schema, call.body, call.version);
    call.ignored(ignored);
    return value;
  };
}

export const certificate = reader(
  Type.Object({ certPem: Type.Optional(Type.String()), keyPem: Type.Optional(Type.String()) }),
);

export const failover = reader(
  Type.Object({
    acceptDataLoss: Type.Optional(Type.Boolean()),
    shard: Type.Optional(Type.Integer({ minimum: 0 })),
  }),
);

export const failpoint = reader(
  Type.Object({
    point: Type.String(),
    effect: Type.String(),
    forMs: Type.Integer({ minimum: 1, maximum: MAX_FAILPOINT_MS }),
  }),
);

export const flush = reader(
  Type.Object({ ids: Type.Optional(Type.Array(Type.String(), { maxItems: 20 })) }),
);

export const maintain = reader(Type.Object({ skip: Type.Optional(Type.Boolean()) }));

export const regenerate = reader(
  Type.Object({
    keyType: Type.Optional(Type.Enum(['Primary', 'Secondary'])),
    /** Ours: end all sessions of the user, also where the old key cannot be told from the new one. */
    disconnect: Type.Optional(Type.Boolean()),
  }),
);

export const stop = reader(Type.Object({ save: Type.Optional(Type.Boolean()) }));

export const upgrade = reader(
  Type.Object({
    back: Type.Optional(Type.Boolean()),
    finish: Type.Optional(Type.Boolean()),
    wayBackHours: Type.Optional(Type.Number()),
  }),
);
