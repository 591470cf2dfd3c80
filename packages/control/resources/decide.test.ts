/** The rules of writing as tables; what the API makes of them is tested over its sockets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { needOf } from '../catalog/capacity.ts';
import { MACHINE_RESERVE_SHARE } from '../catalog/limits.ts';
import { ControlError } from '../errors.ts';
import type { ClusterInput } from '../service.ts';
import type { ClusterRecord, DatabaseRecord, OperationRecord, Sizing } from '../store/records.ts';
import { catalogueOn } from './catalogue.ts';
import { type ClusterSituation, decideCluster } from './decide-cluster.ts';
import { type DatabaseSituation, decideDatabase } from './decide-database.ts';
import { decideClusterDelete } from './decide-delete.ts';
import { MAX_CLUSTERS } from './limits.ts';
import { endOperation, startOperation } from './operations.ts';

const GIB = 1024 ** 3;
const plenty = { totalBytes: 4_096 * GIB, availableBytes: 4_096 * GIB, ownBytes: 0 };
const catalogue = catalogueOn({ cores: 2, miniature: null }, () => ({
  memory: plenty,
  disk: plenty,
}));

let ids = 0;
const stamp = {
  now: 1_000,
  actor: { name: 'me', apiVersion: '', correlationId: '' },
  newId: () => `id-${++ids}`,
};
const input: ClusterInput = {
  group: 'g',
  name: 'c',
  location: 'West US 3',
  tags: null,
  sku: 'Balanced_B1',
  capacity: null,
  highAvailability: true,
  publicNetworkAccess: 'Enabled',
  zones: null,
  echoed: {},
};
const empty: ClusterSituation = {
  subscriptionId: 's',
  catalogue,
  group: { name: 'g', location: 'local', tags: {}, state: 'Succeeded', createdAt: 0 },
  current: null,
  database: null,
  open: [],
  neighbours: [],
  others: [],
  usedBytes: null,
  usedInAllBytes: null,
  idleBytes: 0,
  slotsStay: null,
};
const settings: DatabaseRecord['settings'] = {
  clientProtocol: 'Encrypted',
  policy: 'OSSCluster',
  evictionPolicy: 'VolatileLRU',
  accessKeys: 'Enabled',
  deferUpgrade: 'NotDeferred',
  notifyKeyspaceEvents: '',
  azureStrict: false,
  guard: [],
};

function running(change: Partial<ClusterInput> = {}): ClusterRecord {
  const { cluster } = decideCluster(empty, { ...input, ...change }, stamp);
  return { ...cluster, provisioningState: 'Succeeded', resourceState: 'Running' };
}

function withDatabase(
  cluster: ClusterRecord,
  change: Partial<DatabaseRecord['settings']> = {},
): DatabaseRecord {
  const { database } = decideDatabase(
    around(cluster),
    'default',
    { settings: { ...settings, ...change }, port: null },
    stamp,
  );
  return {
    ...database,
    provisioningState: 'Succeeded',
    resourceState: 'Running',
    observedGeneration: 1,
  };
}

function around(
  cluster: ClusterRecord,
  current: DatabaseRecord | null = null,
  open: OperationRecord[] = [],
): DatabaseSituation {
  const ports = {
    claims: [],
    listening: new Set<number>(),
    firstPort: 10_000,
    describe: String,
    ownerName: String,
  };
  return { subscriptionId: 's', catalogue, cluster, current, open, ports, others: [] };
}

function refusal(work: () => unknown): [string, number] {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof ControlError, String(error));
    assert.ok(error.message.length > 20);
    return [error.code, error.status];
  }
  return ['accepted', 0];
}

test('a change of what runs becomes an operation of the database, and the cluster waits for it', () => {
  const current = running();
  const database = withDatabase(current);
  const situation = { ...empty, current, database };
  const table: [Partial<ClusterInput>, Partial<Sizing> | null][] = [
    [{ tags: { a: 'b' } }, null],
    [{ publicNetworkAccess: 'Disabled' }, null],
    [{ sku: 'balanced_b1' }, null],
    [{ highAvailability: false }, { replicas: 0, sku: 'Balanced_B1' }],
    [{ sku: 'Balanced_B0' }, { replicas: 1, sku: 'Balanced_B0' }],
    [
      { sku: 'Balanced_B0', highAvailability: false },
      { replicas: 0, sku: 'Balanced_B0' },
    ],
  ];
  for (const [change, sizing] of table) {
    const decision = decideCluster(situation, { ...input, ...change }, stamp);
    assert.equal(decision.cluster.id, current.id);
    assert.equal(decision.operation.kind, 'UpdateCluster');
    assert.equal(decision.operation.input['child'], decision.child?.id);
    assert.equal(decision.child?.generation ?? null, sizing === null ? null : 2);
    assert.equal(decision.database?.generation ?? null, sizing === null ? null : 2);
    for (const [key, value] of Object.entries(sizing ?? {})) {
      assert.equal(decision.database?.sizing[key as keyof Sizing], value);
    }
  }
});

test('what a full machine, a full shard or a full installation cannot hold is refused', () => {
  const small = { totalBytes: 2 * GIB, availableBytes: 2 * GIB, ownBytes: 0 };
  const tight = catalogueOn({ cores: 2, miniature: null }, () => ({ memory: small, disk: plenty }));
  const on = (catalogueThere: typeof catalogue, change: Partial<ClusterSituation>) =>
    refusal(() => decideCluster({ ...empty, catalogue: catalogueThere, ...change }, input, stamp));
  assert.deepEqual(on(tight, {}), ['InsufficientCapacity', 409]);
  // Room for one shard of Balanced_B5 and not for two: that depends on a policy nobody said yet.
  const b5 = { ...input, sku: 'Balanced_B5' };
  const one = needOf(catalogue.sizing({ ...b5, policy: 'NoCluster' })).memoryBytes;
  const two = needOf(catalogue.sizing({ ...b5, policy: 'OSSCluster' })).memoryBytes;
  assert.ok(one < two);
  const reserved = Math.ceil(64 * GIB * MACHINE_RESERVE_SHARE);
  const room = (bytes: number) => {
    const memory = { totalBytes: 64 * GIB, availableBytes: bytes + reserved, ownBytes: 0 };
    return catalogueOn({ cores: 2, miniature: null }, () => ({ memory, disk: plenty }));
  };
  const asked = (bytes: number) =>
    refusal(() => decideCluster({ ...empty, catalogue: room(bytes) }, b5, stamp));
  assert.deepEqual(asked(one), ['accepted', 0]);
  assert.deepEqual(asked(one - 1), ['InsufficientCapacity', 409]);
  assert.deepEqual(
    on(catalogue, { neighbours: Array(MAX_CLUSTERS).fill(running({ name: 'x' })) }),
    ['QuotaExceeded', 409],
  );
  const current = running();
  const database = withDatabase(current);
  const down = { ...input, sku: 'Balanced_B0' };
  const usedBytes = 700_000_000;
  assert.deepEqual(
    refusal(() => decideCluster({ ...empty, current, database, usedBytes }, down, stamp)),
    ['UsedMemoryTooLarge', 409],
  );
});

test('a SKU that its database cannot have is refused before anything changes', () => {
  const current = running();
  const cases: [Partial<DatabaseRecord['settings']>, string, [string, number]][] = [
    [{}, 'Balanced_B5', ['accepted', 0]],
    [{ policy: 'NoCluster' }, 'Balanced_B50', ['SkuNotAllowedForPolicy', 409]],
    [{ policy: 'NoCluster' }, 'Balanced_B5', ['accepted', 0]],
    [{}, 'FlashOptimized_A250', ['FlashNotBuilt', 501]],
  ];
  for (const [change, sku, expected] of cases) {
    const database = withDatabase(current, change);
    const situation = { ...empty, current, database };
    assert.deepEqual(
      refusal(() => decideCluster(situation, { ...input, sku }, stamp)),
      expected,
      sku,
    );
  }
});

test('a database that never ran may become anything that a new one may', () => {
  const current = running();
  const failed: DatabaseRecord = {
    ...withDatabase(current),
    observedGeneration: 0,
    provisioningState: 'Failed',
    resourceState: 'CreateFailed',
  };
  const bigger = decideCluster(
    { ...empty, current, database: failed },
    { ...input, sku: 'Balanced_B5' },
    stamp,
  );
  assert.equal(bigger.database?.sizing.shards, 2);
  assert.equal(bigger.child?.kind, 'CreateDatabase');
  const other = { settings: { ...settings, policy: 'NoCluster' as const }, port: null };
  const { database } = decideDatabase(around(current, failed), 'DEFAULT', other, stamp);
  assert.equal(database.settings.policy, 'NoCluster');
  assert.equal(database.provisioningState, 'Creating');
  assert.equal(database.port, failed.port);
});

test('in which state of the cluster its database can be written', () => {
  const states: [Partial<ClusterRecord>, string][] = [
    [{}, 'accepted'],
    [{ provisioningState: 'Creating', resourceState: 'Creating' }, 'accepted'],
    [{ provisioningState: 'Failed', resourceState: 'UpdateFailed' }, 'accepted'],
    [{ provisioningState: 'Failed', resourceState: 'CreateFailed' }, 'Conflict'],
    [{ provisioningState: 'Failed', resourceState: 'DeleteFailed' }, 'Conflict'],
    [{ provisioningState: 'Updating', resourceState: 'Updating' }, 'Conflict'],
    [{ provisioningState: 'Deleting', resourceState: 'Deleting' }, 'Conflict'],
  ];
  for (const [state, expected] of states) {
    const cluster = { ...running(), ...state };
    const write = () => decideDatabase(around(cluster), 'default', { settings, port: null }, stamp);
    assert.equal(refusal(write)[0], expected, JSON.stringify(state));
  }
});

test('one write at a time: anything open refuses the next one, anything ended does not', () => {
  const current = running();
  const database = withDatabase(current);
  const open = startOperation(stamp, {
    kind: 'Flush',
    resourceId: '/x',
    clusterId: current.id,
    databaseId: database.id,
    location: 'local',
    generation: null,
  });
  const ended = endOperation(open, 'Failed', 2_000, { code: 'x', message: 'y' });
  for (const [operation, expected] of [
    [open, 'Conflict'],
    [ended, 'accepted'],
  ] as const) {
    const writes = [
      () => decideCluster({ ...empty, current, database, open: [operation] }, input, stamp),
      () =>
        decideDatabase(
          around(current, database, [operation]),
          'default',
          { settings, port: null },
          stamp,
        ),
      () =>
        decideClusterDelete({ subscriptionId: 's', current, database, open: [operation] }, stamp),
    ];
    for (const write of writes) assert.equal(refusal(write)[0], expected);
  }
});

test('deleting a cluster deletes its database first, as an operation of its own', () => {
  const current = running();
  const database = withDatabase(current);
  const both = decideClusterDelete({ subscriptionId: 's', current, database, open: [] }, stamp);
  assert.equal(both.database?.provisioningState, 'Deleting');
  assert.equal(both.child?.kind, 'DeleteDatabase');
  assert.equal(both.operation.input['child'], both.child?.id);
  const alone = decideClusterDelete(
    { subscriptionId: 's', current, database: null, open: [] },
    stamp,
  );
  assert.deepEqual([alone.child, alone.database, alone.operation.input], [null, null, {}]);
});
