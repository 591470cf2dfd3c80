/** Where new instances go: ids, ports, folders. Ports are looked for outside the transaction that claims them. */
import { join } from 'node:path';
import type { SlotRange } from '../../engine/contract.ts';
import { labelOf } from '../../engine/index.ts';
import { ControlError } from '../errors.ts';
import { SLOTS } from '../plan/slot-ranges.ts';
import { wantedEngine } from '../plan/upgrade.ts';
import type {
  DatabaseRecord,
  InstanceRecord,
  PortClaim,
  ShardRecord,
  StartKind,
} from '../store/records.ts';
import { shardsDirect } from '../store/records.ts';
import type { ExecutorDeps } from './deps.ts';
import { isClustered } from './launch.ts';

const HIGHEST_PORT = 65_535;
/** Hexadecimal digits of an instance's id that name its folder and socket: short paths, no clash. */
const NAME_DIGITS = 12;

/** Equal contiguous ranges, the first ones longer by one where it does not divide. */
function slotRanges(shards: number): SlotRange[] {
  return Array.from({ length: shards }, (_, i) => [
    Math.ceil((i * SLOTS) / shards),
    Math.ceil(((i + 1) * SLOTS) / shards) - 1,
  ]);
}

export function newShards(database: DatabaseRecord, now: number): ShardRecord[] {
  return slotRanges(database.sizing.shards).map((range, index) => ({
    ...joiningShard(database, index, now),
    slots: [range],
    membership: 'member',
  }));
}

/** One that is made while others serve: its slots come to it later. */
export function joiningShard(database: DatabaseRecord, index: number, now: number): ShardRecord {
  return {
    databaseId: database.id,
    index,
    slots: [],
    phase: 'new',
    membership: 'joining',
    reason: { code: 'starting', message: 'Its engines are being started.' },
    primary: null,
    successor: null,
    epoch: 0,
    replicationId: '',
    offset: 0,
    configEpoch: 0,
    saved: null,
    lossAccepted: null,
    handover: null,
    dataLost: null,
    decidedAt: now,
  };
}

/** Whether clients reach its engines directly, and without TLS. */
export function wantsPlainPort({ settings }: Pick<DatabaseRecord, 'settings'>): boolean {
  return shardsDirect(settings) && settings.clientProtocol === 'Plaintext';
}

export interface PlannedInstance {
  readonly record: InstanceRecord;
  readonly claims: readonly PortClaim[];
}

/** A new instance with free ports, none of `taken`. Adds them to `taken`. */
export async function planInstance(
  deps: ExecutorDeps,
  database: DatabaseRecord,
  shard: number,
  start: StartKind,
  taken: Set<number>,
): Promise<PlannedInstance> {
  const id = deps.randomHex(20);
  const direct = shardsDirect(database.settings);
  const hosts = hostsOf(deps, database);
  const plain = wantsPlainPort(database);
  const forClients = direct ? await freePort(deps, hosts, deps.shardPorts, taken) : 0;
  // Clients get the one port they are told of; replication keeps its own, with TLS.
  const port =
    direct && !plain ? forClients : await freePort(deps, hosts, deps.internalPorts, taken);
  const plainPort = plain ? forClients : 0;
  const busPort = isClustered(database)
    ? await freePort(deps, hosts, deps.internalPorts, taken)
    : 0;
  const short = id.slice(0, NAME_DIGITS);
  const owner = `${database.id}/${id}`;
  const claims: PortClaim[] = [{ port, owner, purpose: 'shard' }];
  if (plainPort > 0) claims.push({ port: plainPort, owner, purpose: 'shard' });
  if (busPort > 0) claims.push({ port: busPort, owner, purpose: 'bus' });
  return {
    claims,
    record: {
      id,
      databaseId: database.id,
      shard,
      node: deps.node.id,
      phase: 'planned',
      start,
      host: deps.engineHost,
      port,
      busPort,
      plainPort,
      dataDir: join(deps.dataRoot, database.id, short),
      socket: join(deps.socketRoot, `${short}.sock`),
      process: null,
      synced: false,
      replicationId: '',
      offset: 0,
      engine: wantedEngine(database.upgrade, labelOf(deps.node.engine)),
      startedAt: 0,
      endedAt: 0,
    },
  };
}

/** Where the engines of a database listen. */
export function hostsOf(
  deps: ExecutorDeps,
  { settings }: Pick<DatabaseRecord, 'settings'>,
): string[] {
  return [deps.engineHost, ...(shardsDirect(settings) ? (deps.directHosts ?? []) : [])];
}

/** A port for an engine that lost one of its own. Adds it to `taken`. */
export function otherPort(
  deps: ExecutorDeps,
  database: DatabaseRecord,
  /** Where clients are told of the ports of engines at all. */
  forClients: boolean,
  taken: Set<number>,
): Promise<number> {
  const told = forClients && shardsDirect(database.settings);
  const first = told ? deps.shardPorts : deps.internalPorts;
  return freePort(deps, hostsOf(deps, database), first, taken);
}

/** A port for clients of a shard that no record has and nobody holds. */
export function freeShardPort(deps: ExecutorDeps): Promise<number> {
  const hosts = [deps.engineHost, ...(deps.directHosts ?? [])];
  const taken = new Set(deps.store.ports().map(({ port }) => port));
  return freePort(deps, hosts, deps.shardPorts, taken);
}

/** The first one from `from` on that nobody has; it is added to `taken`. */
async function freePort(
  deps: ExecutorDeps,
  hosts: readonly string[],
  from: number,
  taken: Set<number>,
): Promise<number> {
  for (let port = from; port <= HIGHEST_PORT; port++) {
    if (taken.has(port)) continue;
    taken.add(port);
    const free = await Promise.all(hosts.map((host) => deps.node.portIsFree(host, port)));
    if (free.every(Boolean)) return port;
  }
  throw new ControlError(
    'NoFreePort',
    409,
    `No port from ${from} up is free on ${hosts.join(', ')}. Stop what uses them, or delete a cache.`,
  );
}
