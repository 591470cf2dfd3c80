/** What the endpoint is told of a database. Pure. */
import { createHash } from 'node:crypto';
import type {
  DatabaseView,
  InstanceView,
  ListenAddress,
  ShardView,
  UserView,
} from '../../endpoint/control-protocol.ts';
import type { DatabaseRecord, InstanceRecord, ShardRecord } from '../store/records.ts';
import { IDLE_TIMEOUT_MINUTES, shardsDirect } from '../store/records.ts';
import { wantsPlainPort } from './layout.ts';
import { MINUTE_MS } from './limits.ts';

export interface ViewInput {
  readonly database: DatabaseRecord;
  readonly shards: readonly ShardRecord[];
  readonly instances: readonly InstanceRecord[];
  readonly hosts: readonly string[];
  /** By index, where clients reach shards through the endpoint. */
  readonly shardPorts: ReadonlyMap<number, number>;
  /** Those of them that somebody else holds now. */
  readonly unheld: ReadonlyMap<number, unknown>;
  readonly hostName: string;
  readonly certificate: {
    readonly certFile: string;
    readonly keyFile: string;
    readonly generation: number;
  };
  readonly users: readonly UserView[];
  readonly service: DatabaseView['service'];
  readonly newer?: DatabaseView['newer'];
}

/** Null: the endpoint has nothing to do with it (not laid out yet, failed, or being deleted). */
export function viewOf(input: ViewInput): DatabaseView | null {
  const { database, shards } = input;
  if (database.provisioningState === 'Deleting' || database.resourceState === 'CreateFailed')
    return null;
  if (shards.length === 0 || shards.every((shard) => shard.phase === 'new')) return null;
  const { policy } = database.settings;
  const tls = database.settings.clientProtocol === 'Encrypted';
  const open = ({ phase, plainPort }: InstanceRecord) =>
    phase !== 'running' || plainPort > 0 === wantsPlainPort(database);
  return {
    id: database.id,
    // Nobody is sent to a shard before it can be reached as its clients will.
    policy: policy === 'OSSCluster' && !input.instances.every(open) ? BEHIND : policy,
    listen: addresses(input, tls),
    certificate: tls ? input.certificate : null,
    users: input.users,
    limits: {
      maxConnections: database.sizing.maxConnections,
      idleTimeoutMs: (database.settings.idleTimeoutMinutes ?? IDLE_TIMEOUT_MINUTES) * MINUTE_MS,
      outputBufferBytes: database.sizing.outputBufferBytes,
    },
    guard: database.settings.guard,
    azureStrict: database.settings.azureStrict,
    ...(input.service === undefined ? {} : { service: input.service }),
    readFrom: database.settings.readFrom ?? 'primary',
    engines: enginesOf(input.instances),
    ...(input.newer === undefined ? {} : { newer: input.newer }),
    shards: shards.filter(concernsClients).map((shard) => shardView(input, shard)),
  };
}

function enginesOf(instances: readonly InstanceRecord[]): string[] {
  const running = instances.filter((each) => each.phase === 'running');
  return [...new Set(running.map((each) => each.engine))].sort();
}

const BEHIND = 'EnterpriseCluster';
/** Those of the whole database first. */
function addresses(input: ViewInput, tls: boolean): ListenAddress[] {
  const { database, shards, shardPorts } = input;
  const own = shards.filter(concernsClients).flatMap((shard) => {
    const port = shardPorts.get(shard.index);
    return port === undefined ? [] : [{ port, tls, shard: shardId(shard) }];
  });
  return [{ port: database.port, tls }, ...own].flatMap((listen) =>
    input.hosts.map((host) => ({ host, ...listen })),
  );
}

function shardId({ databaseId, index }: ShardRecord): string {
  return `${databaseId}/${index}`;
}

/** A shard without slots is known from when it serves (functions go to it too) until it leaves. */
function concernsClients(shard: ShardRecord): boolean {
  return shard.phase !== 'leaving' && (shard.slots.length > 0 || shard.phase === 'serving');
}

function shardView(input: ViewInput, shard: ShardRecord): ShardView {
  const members = input.instances.filter((i) => i.shard === shard.index && i.phase === 'running');
  // One that never served has nobody waiting.
  const changing =
    shard.phase === 'switching' || (shard.phase === 'promoting' && shard.primary !== null);
  const head = changing ? shard.successor : shard.primary;
  const primary = members.find((i) => i.id === head);
  const serving = (shard.phase === 'serving' || changing) && primary !== undefined;
  const own = input.shardPorts.get(shard.index);
  // Nobody is sent to a stranger: the port of the whole cache leads to this shard, too.
  const port = own !== undefined && input.unheld.has(own) ? input.database.port : own;
  return {
    id: shardId(shard),
    slots: shard.slots,
    // Workers connect to who is next, and send nothing until the shard is released.
    state: serving ? (changing ? 'held' : 'serving') : 'down',
    reason: shard.reason.code,
    primary: serving ? instanceView(input, primary) : null,
    replicas: members.filter((i) => i.synced && i.id !== head).map((i) => instanceView(input, i)),
    ...(port === undefined ? {} : { announce: { host: input.hostName, port } }),
  };
}

/** Where clients reach an engine that they talk to directly. */
export function clientPort({ plainPort, port }: InstanceRecord): number {
  return plainPort > 0 ? plainPort : port;
}

function instanceView(input: ViewInput, instance: InstanceRecord): InstanceView {
  const direct = shardsDirect(input.database.settings);
  return {
    node: instance.id,
    socket: instance.socket,
    announce: direct ? { host: input.hostName, port: clientPort(instance) } : null,
  };
}

const fingerprints = new WeakMap<DatabaseView, string>();

/** Equal exactly if the endpoint would be told the same. */
export function fingerprint(view: DatabaseView | null): string {
  if (view === null) return 'absent';
  const known = fingerprints.get(view);
  if (known !== undefined) return known;
  const made = createHash('sha256').update(JSON.stringify(view)).digest('hex');
  fingerprints.set(view, made);
  return made;
}
