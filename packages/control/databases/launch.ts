/** From records to what an engine is started with. Pure. */
import type {
  AclUser,
  ClusterMember,
  EngineLaunch,
  EngineTls,
  StartRole,
} from '../../engine/contract.ts';
import {
  type DatabaseRecord,
  type EvictionPolicy,
  IDLE_TIMEOUT_MINUTES,
  type InstanceRecord,
  type InternalSecrets,
  type ShardRecord,
  type StartKind,
  shardsDirect,
} from '../store/records.ts';
import { CONNECTION_RESERVE, MINUTE_MS } from './limits.ts';
import { mostEngineClients } from './open-files.ts';

const EVICTION: Readonly<Record<EvictionPolicy, string>> = {
  AllKeysLFU: 'allkeys-lfu',
  AllKeysLRU: 'allkeys-lru',
  AllKeysRandom: 'allkeys-random',
  VolatileLRU: 'volatile-lru',
  VolatileLFU: 'volatile-lfu',
  VolatileTTL: 'volatile-ttl',
  VolatileRandom: 'volatile-random',
  NoEviction: 'noeviction',
};

/** Majority of primaries exists from three on: only then the engines' own vote can help (engine rule 9). */
const VOTE_TIMEOUT_MS = 15_000;
const NO_VOTE_TIMEOUT_MS = 600_000;
const FEWEST_VOTERS = 3;
/** Clients that may ask for as much as they may have, on one connection of the endpoint in one moment. */
const CLIENTS_IN_A_LANE = 8;
/** Part of a shard's memory that holds the stream for replicas that were away for a moment. */
const BACKLOG_PART = 20;
const BACKLOG_MIN_BYTES = 1_048_576;
const BACKLOG_MAX_BYTES = 268_435_456;
/** ...while slots travel. */
const BACKLOG_SCALING_BYTES = 16_777_216;

export function isClustered(database: DatabaseRecord): boolean {
  return database.settings.policy !== 'NoCluster';
}

/** Settings that can change while it runs; applied at start and again by `configure`. */
export function liveSettings(database: DatabaseRecord): Record<string, string> {
  const { sizing, settings } = database;
  const maxMemoryBytes = shardMemory(database);
  return {
    maxmemory: String(maxMemoryBytes),
    'maxmemory-policy': EVICTION[settings.evictionPolicy],
    maxclients: String(Math.min(sizing.maxConnections + CONNECTION_RESERVE, mostEngineClients())),
    'notify-keyspace-events': settings.notifyKeyspaceEvents,
    'client-output-buffer-limit': `normal ${outputBufferBytes(database)} 0 0`,
    'repl-backlog-size': String(backlogBytes(database, maxMemoryBytes)),
    // A backlog that is freed takes the replication id with it, and that id proves candidates fit.
    'repl-backlog-ttl': '0',
    timeout: String(engineTimeout(settings)),
    ...database.config,
    ...(isClustered(database)
      ? {
          // Otherwise a primary that gave its last slot away becomes a replica of the new owner.
          'cluster-allow-replica-migration': 'no',
          'cluster-node-timeout': String(
            fewestShards(database) >= FEWEST_VOTERS ? VOTE_TIMEOUT_MS : NO_VOTE_TIMEOUT_MS,
          ),
        }
      : {}),
  };
}

/** Of one connection. Behind the endpoint it is many clients', and the endpoint has the limit of each. */
function outputBufferBytes({ sizing, settings }: DatabaseRecord): number {
  return (shardsDirect(settings) ? 1 : CLIENTS_IN_A_LANE) * sizing.outputBufferBytes;
}

/** Where clients are direct the engine ends idle ones, seconds. The endpoint's lanes are used or closed before. */
function engineTimeout(settings: DatabaseRecord['settings']): number {
  if (!shardsDirect(settings)) return 0;
  return (settings.idleTimeoutMinutes ?? IDLE_TIMEOUT_MINUTES) * (MINUTE_MS / 1000);
}

/** Only primaries with slots have a vote: while their number changes the smaller one counts. */
function fewestShards({ sizing, scaling }: DatabaseRecord): number {
  return Math.min(sizing.shards, scaling?.from.shards ?? sizing.shards);
}

/** While slots travel, a shard may hold what it held before as well as what it is to hold. */
function shardMemory({ sizing, scaling }: DatabaseRecord): number {
  return Math.max(sizing.maxMemoryBytes, scaling?.from.maxMemoryBytes ?? 0);
}

/**
 * Each batch of slots forks, and the first thing that the child does is to hand the backlog back in pieces of
 * 16 KB: of 90 MB it took more than half of the time of a batch.
 */
function backlogBytes({ scaling }: DatabaseRecord, maxMemoryBytes: number): number {
  const part = Math.floor(maxMemoryBytes / BACKLOG_PART);
  const most = scaling === null ? BACKLOG_MAX_BYTES : BACKLOG_SCALING_BYTES;
  return Math.min(most, Math.max(BACKLOG_MIN_BYTES, part));
}

/** While a control process holds its lease the engines do not vote (engine rule 28). */
export function votingOff(database: DatabaseRecord): Record<string, string> {
  return isClustered(database) ? { 'cluster-replica-no-failover': 'yes' } : {};
}

export interface LaunchInput {
  /** Label of the engine. */
  readonly engine: string;
  readonly database: DatabaseRecord;
  readonly shards: readonly ShardRecord[];
  readonly instances: readonly InstanceRecord[];
  readonly instance: InstanceRecord;
  readonly as: StartKind;
  readonly load: 'nothing' | 'files';
  readonly tls: EngineTls;
  readonly users: readonly AclUser[];
  readonly secrets: InternalSecrets;
  readonly announceHost: string;
  /** Bound beside its own address where clients are direct. */
  readonly directHosts: readonly string[];
}

export function launchOf(input: LaunchInput): EngineLaunch {
  const { database, instance } = input;
  return {
    engine: input.engine,
    instance: instance.id,
    dataDir: instance.dataDir,
    socket: instance.socket,
    host: instance.host,
    port: instance.port,
    busPort: instance.busPort,
    ...plainPortOf(instance),
    announceHost: input.announceHost,
    ...(shardsDirect(database.settings) && input.directHosts.length > 0
      ? { listen: input.directHosts }
      : {}),
    role: roleOf(input),
    load: input.load,
    tls: input.tls,
    users: input.users,
    replicationPassword: input.secrets.replication,
    settings: {
      ...liveSettings(database),
      ...votingOff(database),
      'io-threads': String(database.sizing.ioThreads),
    },
  };
}

function plainPortOf({ plainPort }: InstanceRecord): { readonly plainPort?: number } {
  return plainPort > 0 ? { plainPort } : {};
}

function roleOf({ database, shards, instances, instance, as }: LaunchInput): StartRole {
  if (!isClustered(database)) {
    return { kind: as === 'first-primary' || as === 'cold' ? 'alone' : 'fenced' };
  }
  const newest = Math.max(0, ...shards.map((s) => s.configEpoch));
  const members: ClusterMember[] = [];
  for (const shard of shards) {
    if (shard.phase === 'leaving') continue;
    const own = instances.filter((i) => i.shard === shard.index && i.phase !== 'leaving');
    const primary = primaryOf(shard, own, instance, as);
    for (const member of own) {
      const isPrimary = member.id === primary;
      const cold = isPrimary && as === 'cold' && member.id === instance.id;
      members.push({
        id: member.id,
        host: member.host,
        port: member.port,
        busPort: member.busPort,
        ...plainPortOf(member),
        primaryId: isPrimary ? null : primary,
        // Whoever starts cold must be believed over what the others remember of it.
        epoch: cold ? newest + 1 + shard.index : isPrimary ? configEpochOf(shard, newest) : 0,
        slots: isPrimary ? shard.slots : [],
      });
    }
  }
  return { kind: 'cluster', members, myself: instance.id };
}

/** Each new primary has an epoch of its own. */
function configEpochOf(shard: ShardRecord, newest: number): number {
  return shard.configEpoch > 0 ? shard.configEpoch : newest + shard.index + 1;
}

function primaryOf(
  shard: ShardRecord,
  own: readonly InstanceRecord[],
  instance: InstanceRecord,
  as: StartKind,
): string | null {
  if (as === 'cold' && instance.shard === shard.index) return instance.id;
  if (shard.phase === 'new') return own.find((i) => i.start === 'first-primary')?.id ?? null;
  return shard.successor ?? shard.primary;
}
