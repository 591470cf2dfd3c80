/** What `show` says of shards and instances: records and sightings side by side. Pure. */
import type { Sighting } from '../plan/model.ts';
import type { InstanceStatus, ShardStatus } from '../service.ts';
import type { InstanceRecord, ShardRecord } from '../store/records.ts';
import { clientPort } from './view.ts';

export function shardStatus(
  shard: ShardRecord,
  instances: readonly InstanceRecord[],
  sighting: (id: string) => (Sighting & { readonly residentBytes: number }) | null,
  /** Where clients reach it through the endpoint; null: not in this way. */
  relayed: number | null,
): ShardStatus {
  const primary = instances.find((i) => i.id === shard.primary);
  const head = primary === undefined ? null : (sighting(primary.id)?.facts?.offset ?? null);
  return {
    shard,
    instances: instances
      .filter((i) => i.shard === shard.index)
      .map((instance) => instanceStatus(shard, instance, sighting(instance.id), head))
      .map((status) =>
        relayed === null
          ? status
          : { ...status, clientPort: status.instance.id === shard.primary ? relayed : 0 },
      ),
  };
}

function instanceStatus(
  shard: ShardRecord,
  instance: InstanceRecord,
  seen: (Sighting & { readonly residentBytes: number }) | null,
  head: number | null,
): InstanceStatus {
  const answers = seen?.condition === 'answering' && seen.process !== 'gone';
  const facts = answers ? seen.facts : null;
  const isPrimary = instance.id === shard.primary;
  return {
    instance,
    clientPort: clientPort(instance),
    role: facts?.role ?? 'unknown',
    condition: condition(instance, seen, isPrimary),
    lagBytes:
      facts === null || isPrimary || head === null ? null : Math.max(0, head - facts.offset),
    usedMemoryBytes: facts?.usedMemoryBytes ?? null,
    idleMemoryBytes: facts?.idleMemoryBytes ?? null,
    residentBytes: facts === null ? null : (seen?.residentBytes ?? null),
    keys: facts?.keys ?? null,
  };
}

function condition(instance: InstanceRecord, seen: Sighting | null, isPrimary: boolean): string {
  if (instance.phase !== 'running') return instance.phase;
  if (seen?.process === 'gone') return 'dead';
  if (seen === null || seen.condition === 'unknown') return 'starting';
  if (seen.condition !== 'answering') return seen.condition;
  if (isPrimary) return 'serving';
  if (seen.facts?.syncing === true) return 'syncing';
  return instance.synced && seen.facts?.link === 'up' ? 'in-sync' : 'catching-up';
}
