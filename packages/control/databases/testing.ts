/**
 * The executor on real engines, for tests: own folder, ports, store and certificates. The endpoint
 * is left out here (`fleet` only takes notes): its own tests and those of the whole service have it.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { DatabaseView } from '../../endpoint/control-protocol.ts';
import {
  type EngineLaunch,
  type EngineLink,
  LocalNode,
  type LocalNodeOptions,
  type ProcessRef,
  type ProvisionOptions,
} from '../../engine/index.ts';
import { eventually, Guard, testEngine } from '../../engine/testing.ts';
import { newInternalSecrets } from '../auth/internal.ts';
import { newAccessKeys } from '../auth/keys.ts';
import { engineUsers } from '../auth/users.ts';
import { ARRANGING } from '../plan/limits.ts';
import { startFailover } from '../resources/failover.ts';
import { kernelPorts } from '../resources/ports.ts';
import { newCluster, newDatabase, newOperation } from '../simulation/records.ts';
import type {
  ClusterRecord,
  DatabaseRecord,
  DatabaseSettings,
  InstanceRecord,
  InternalSecrets,
  OperationRecord,
  ShardRecord,
  Sizing,
  Upgrade,
} from '../store/index.ts';
import { openDatabase, type Sealer, Store } from '../store/index.ts';
import { Authority } from '../tls/authority.ts';
import { systemClock } from './clock.ts';
import { Databases } from './manager.ts';

const plain: Sealer = { seal: (_owner, text) => text, open: (_owner, sealed) => sealed };

export const SMALL: Sizing = {
  sku: 'Balanced_B1',
  shards: 1,
  replicas: 1,
  maxMemoryBytes: 64 * 1024 * 1024,
  maxConnections: 1_000,
  ioThreads: 1,
  outputBufferBytes: 0,
  bandwidthMbps: 1_000,
  scaled: null,
};

export const SETTINGS: DatabaseSettings = {
  clientProtocol: 'Encrypted',
  policy: 'EnterpriseCluster',
  evictionPolicy: 'VolatileLRU',
  accessKeys: 'Enabled',
  deferUpgrade: 'NotDeferred',
  notifyKeyspaceEvents: '',
  azureStrict: false,
  guard: [],
};

/** A stop that the machine asks for: what cannot be saved goes on alone. */
export const ORDERLY = { save: true, mayRefuse: false } as const;

/** Every engine that is started is also ended when the test process is killed. */
class WatchedNode extends LocalNode {
  readonly #guard: Guard;

  constructor(options: LocalNodeOptions, guard: Guard) {
    super(options);
    this.#guard = guard;
  }

  override async start(launch: EngineLaunch): Promise<ProcessRef> {
    const process = await super.start(launch);
    this.#guard.watch(process);
    return process;
  }
}

export interface World {
  readonly store: Store;
  readonly node: LocalNode;
  readonly folder: string;
  databases: Databases;
  /** Bytes that the machine has left, as the executor is told. */
  freeMemory: number;
  freeDisk: number;
  /** See `ARRANGING`. */
  arrangeFromKeys: number;
  /** What the executor wrote to its log. */
  logged(): readonly string[];
  /** What the endpoint was told last. */
  views(): readonly DatabaseView[];
  /** What it was told of single shards, all of it. */
  words(): readonly string[];
  /** Records a database and wakes its loop; resolves when its operation ended well. */
  create(settings?: Partial<DatabaseSettings>, sizing?: Partial<Sizing>): Promise<string>;
  operation(databaseId: string, kind: OperationRecord['kind']): OperationRecord;
  /** As the admin user of an engine. */
  link(instance: InstanceRecord): Promise<EngineLink>;
  primary(databaseId: string, shard?: number): InstanceRecord;
  shard(databaseId: string, index?: number): ShardRecord;
  settled(databaseId: string): Promise<void>;
  update(databaseId: string, sizing: Partial<Sizing>): void;
  /** As a user says it by `failover --accept-data-loss`, for all shards; alice asks. */
  acceptLoss(databaseId: string): OperationRecord;
  delete(databaseId: string): void;
  /** Another control process on the same records, which does nothing yet. */
  rival(): Databases;
  /** A control process that died: nothing is told to anybody; then another one, of this engine. */
  restart(engine?: ProvisionOptions): Promise<void>;
}

export async function world(
  t: Pick<TestContext, 'after'>,
  startedWith: ProvisionOptions = {},
): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'cinnabar-'));
  const guard = new Guard(folder);
  let engine = await testEngine(startedWith);
  const dataRoot = join(folder, 'data');
  /** All that were ever in use: they stay on the machine. */
  const others = [engine];
  let node = new WatchedNode({ id: 'local', dataRoot, engine }, guard);
  mkdirSync(join(folder, 's'), { mode: 0o700 });
  const store = new Store(openDatabase(join(folder, 'store.db')), plain, Date.now);
  const authority = await Authority.open({ home: folder });
  // Below what the kernel takes for outgoing connections, and beside those of whole services (e2e).
  const first = 12_000 + Math.floor(Math.random() * 8_900);
  const logged: string[] = [];
  const words: string[] = [];
  let views: readonly DatabaseView[] = [];
  const make = (): Databases =>
    new Databases({
      store,
      node,
      clock: systemClock,
      ports: kernelPorts,
      users: (database, commands) =>
        engineUsers(database, commands ?? engine.capabilities.commands),
      dataRoot,
      socketRoot: join(folder, 's'),
      shardPorts: first,
      internalPorts: first,
      engineHost: '127.0.0.1',
      hosts: ['127.0.0.1'],
      tls: (cluster) => authority.engine(cluster.id, 'localhost'),
      served: (cluster) => authority.served(cluster.id, 'localhost'),
      hostName: () => 'localhost',
      arranging: {
        ...ARRANGING,
        get fromKeys() {
          return self.arrangeFromKeys;
        },
      },
      freeMemory: () => self.freeMemory,
      freeDisk: () => self.freeDisk,
      randomHex: (bytes) => randomBytes(bytes).toString('hex'),
      log: (_level, message, data) => logged.push(`${message} ${JSON.stringify(data)}`),
      fleet: {
        publish: async (_epoch, next) => {
          views = next;
          return [];
        },
        renewLease: () => undefined,
        prepare: async () => void words.push('prepare'),
        hold: async () => void words.push('hold'),
        expect: async (_shard, _epoch, { node: successor }) =>
          void words.push(`expect ${successor}`),
        answerConfig: async () => undefined,
        release: async (_shard, _epoch, successor) =>
          void words.push(`release ${successor?.node ?? 'as it was'}`),
      },
    });
  const start = async (): Promise<Databases> => {
    const databases = make();
    await databases.start();
    return databases;
  };
  const self: World = {
    store,
    freeMemory: Number.POSITIVE_INFINITY,
    freeDisk: Number.POSITIVE_INFINITY,
    arrangeFromKeys: ARRANGING.fromKeys,
    get node() {
      return node;
    },
    folder,
    databases: await start(),
    views: () => views,
    words: () => words,
    logged: () => logged,
    rival: make,
    async create(settings = {}, sizing = {}) {
      const { cluster, database, operation } = records(settings, sizing);
      store.write(() => {
        store.putCluster(cluster);
        store.putDatabase(database);
        store.putSecret(database.id, newInternalSecrets());
        store.putSecret(`${database.id}/keys`, newAccessKeys());
        store.putOperation(operation);
      });
      self.databases.wake(database.id);
      await self.settled(database.id);
      return database.id;
    },
    operation(databaseId, kind) {
      const found = store
        .operations({ limit: 100 })
        .find((o) => o.databaseId === databaseId && o.kind === kind);
      if (found === undefined) throw new Error(`no ${kind} of ${databaseId}`);
      return found;
    },
    link(instance) {
      const secrets = store.secret<InternalSecrets>(instance.databaseId);
      return node.link(instance.socket, { user: 'admin', password: secrets?.admin ?? '' }, 2_000);
    },
    shard(databaseId, index = 0) {
      const shard = store.shard(databaseId, index);
      if (shard === null) throw new Error(`no shard ${index}`);
      return shard;
    },
    primary(databaseId, index = 0) {
      const instance = store.instance(self.shard(databaseId, index).primary ?? '');
      if (instance === null) throw new Error('no primary');
      return instance;
    },
    async settled(databaseId) {
      await eventually(
        `database ${databaseId} settled`,
        () => {
          const database = store.databaseById(databaseId);
          const shards = store.shards(databaseId);
          const replicas = store.instances(databaseId).filter((i) => i.synced).length;
          const waits = self.databases.waits(databaseId);
          const wanted = (database?.sizing.shards ?? 0) * (1 + (database?.sizing.replicas ?? 0));
          return (
            database !== null &&
            database.observedGeneration === database.generation &&
            shards.every((shard) => shard.phase === 'serving') &&
            replicas === wanted &&
            store.instances(databaseId).length === wanted &&
            waits.length === 0
          );
        },
        30_000,
      );
    },
    update(databaseId, sizing) {
      const database = store.databaseById(databaseId);
      if (database === null) throw new Error('no such database');
      const { generation } = database;
      const next = {
        ...database,
        generation: generation + 1,
        sizing: { ...database.sizing, ...sizing },
      };
      store.write(() => store.putDatabase(next));
      self.databases.wake(databaseId);
    },
    acceptLoss(databaseId) {
      const database = store.databaseById(databaseId);
      const cluster = store.clusterById(database?.clusterId ?? '');
      if (database === null || cluster === null) throw new Error('no such database');
      return startFailover(
        store,
        { subscriptionId: 's', cluster, database, open: [] },
        { acceptDataLoss: true, shard: null },
        {
          now: Date.now(),
          newId: randomUUID,
          actor: { name: 'alice', apiVersion: '', correlationId: '' },
        },
      );
    },
    delete(databaseId) {
      const database = store.databaseById(databaseId);
      if (database === null) throw new Error('no such database');
      store.write(() =>
        store.putDatabase({
          ...database,
          provisioningState: 'Deleting',
          resourceState: 'Deleting',
        }),
      );
      self.databases.wake(databaseId);
    },
    async restart(other) {
      await self.databases.detach();
      if (other !== undefined) {
        engine = await testEngine(other);
        others.push(engine);
        node = new WatchedNode({ id: 'local', dataRoot, engine, others }, guard);
      }
      self.databases = await start();
    },
  };
  t.after(async () => {
    await self.databases.detach();
    for (const { process } of await node.find()) await node.kill(process, 5_000);
    store.close();
    await guard.release();
  });
  return self;
}

function records(settings: Partial<DatabaseSettings>, sizing: Partial<Sizing>) {
  const now = Date.now();
  const name = `test-${randomBytes(4).toString('hex')}`;
  const cluster: ClusterRecord = { ...newCluster(randomUUID(), now), name };
  const blank = newDatabase(randomUUID(), cluster.id, 'EnterpriseCluster', 1, 1, now);
  const database: DatabaseRecord = {
    ...blank,
    settings: { ...SETTINGS, ...settings },
    sizing: { ...SMALL, ...sizing },
  };
  const operation = newOperation(randomUUID(), 'CreateDatabase', database, now);
  return { cluster, database, operation };
}

/** Every process of the database is to be made anew; answers the operation, as the API would record it. */
export function beginMaintenance(w: World, id: string, to?: Upgrade): string {
  const database = w.store.databaseById(id);
  if (database === null) throw new Error(`no database ${id}`);
  const pending = w.store.instances(id).map((each) => each.id);
  const operation = newOperation(randomUUID(), 'Maintain', database, Date.now());
  w.store.write(() => {
    const maintenance = { operation: operation.id, pending };
    w.store.putDatabase({ ...database, maintenance, upgrade: to ?? database.upgrade });
    w.store.putOperation({ ...operation, input: { processes: pending.length } });
  });
  w.databases.wake(id);
  return operation.id;
}

/** The operation, when it is over. */
export async function operationEnded(
  w: World,
  id: string,
  deadlineMs: number,
): Promise<OperationRecord> {
  await eventually('it ended', () => w.store.operation(id)?.endedAt != null, deadlineMs);
  const record = w.store.operation(id);
  if (record === null) throw new Error(`no operation ${id}`);
  return record;
}
