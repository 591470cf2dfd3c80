/**
 * The Enterprise names that Azure retired. Old clients, scripts and templates still send them, and
 * only they use `sku.capacity`: the number of data nodes, in steps of two (Enterprise) or three
 * (Flash). So each is a cache of the size that Azure sold under that name and capacity.
 *
 * - Sizes: Microsoft's overview of the Enterprise tiers; a capacity of n holds n/2 (Flash: n/3)
 *   times the size of the name.
 * - vCPUs: Microsoft's table of effective vCPUs by name and capacity. Shard counts were never
 *   published ("not one to one"); here it is one primary shard an effective vCPU, as a Valkey shard
 *   executes on one thread.
 * - Connections and bandwidth come from pages that no longer exist and could not be checked again;
 *   E1, E5, E200 and E400 take those of the nearest size. They are a limit and a measure for alarms.
 */
import type { Sku, Tier } from './skus.ts';

export interface RetiredSku {
  readonly name: string;
  readonly tier: 'Enterprise' | 'EnterpriseFlash';
  /** Nodes that hold one unit of `sizeGB`: 2, on Flash 3. */
  readonly nodesPerUnit: 2 | 3;
  readonly sizeGB: number;
  readonly defaultCapacity: number;
  /** Effective vCPUs by allowed capacity, in Azure's order. */
  readonly vcpusByCapacity: readonly (readonly [capacity: number, vcpus: number])[];
  readonly maxConnections: number;
  readonly bandwidthMbps: number | null;
}

type Capacities = RetiredSku['vcpusByCapacity'];

function enterprise(
  suffix: string,
  sizeGB: number,
  maxConnections: number,
  bandwidthMbps: number,
  vcpusByCapacity: Capacities,
): RetiredSku {
  const name = `Enterprise_${suffix}`;
  const shared = { nodesPerUnit: 2, defaultCapacity: 2, maxConnections, bandwidthMbps } as const;
  return { name, tier: 'Enterprise', sizeGB, vcpusByCapacity, ...shared };
}

function flash(
  suffix: string,
  sizeGB: number,
  maxConnections: number,
  vcpusByCapacity: Capacities,
): RetiredSku {
  const name = `EnterpriseFlash_${suffix}`;
  const shared = {
    nodesPerUnit: 3,
    defaultCapacity: 3,
    maxConnections,
    bandwidthMbps: null,
  } as const;
  return { name, tier: 'EnterpriseFlash', sizeGB, vcpusByCapacity, ...shared };
}

const SMALL: Capacities = [
  [2, 2],
  [4, 6],
  [6, 6],
  [8, 16],
  [10, 20],
];

export const RETIRED_SKUS: readonly RetiredSku[] = [
  enterprise('E1', 1, 15_000, 5_000, [[2, 1]]),
  enterprise('E5', 4, 15_000, 2_000, [
    [2, 1],
    [4, 2],
    [6, 6],
  ]),
  enterprise('E10', 12, 50_000, 4_000, SMALL),
  enterprise('E20', 25, 50_000, 4_000, SMALL),
  enterprise('E50', 50, 100_000, 8_000, [
    [2, 6],
    [4, 6],
    [6, 6],
    [8, 30],
    [10, 30],
  ]),
  enterprise('E100', 100, 200_000, 10_000, [
    [2, 6],
    [4, 30],
    [6, 30],
    [8, 30],
    [10, 30],
  ]),
  enterprise('E200', 200, 200_000, 10_000, [
    [2, 30],
    [4, 60],
    [6, 60],
    [8, 120],
    [10, 120],
  ]),
  enterprise('E400', 400, 200_000, 10_000, [
    [2, 60],
    [4, 120],
    [6, 120],
    [8, 240],
    [10, 240],
  ]),
  flash('F300', 345, 50_000, [
    [3, 6],
    [9, 30],
  ]),
  flash('F700', 715, 100_000, [
    [3, 30],
    [9, 30],
  ]),
  flash('F1500', 1455, 200_000, [
    [3, 30],
    [9, 90],
  ]),
];

/**
 * The retired name at one capacity, in the shape of a present SKU; null when Azure never sold that
 * capacity. `sizeGB` is that of the whole cache.
 */
export function retiredAt(retired: RetiredSku, capacity: number): Sku | null {
  const found = retired.vcpusByCapacity.find(([allowed]) => allowed === capacity);
  if (found === undefined) return null;
  const tier: Tier = retired.tier;
  const mbps = retired.bandwidthMbps;
  return {
    name: retired.name,
    tier,
    sizeGB: (retired.sizeGB * capacity) / retired.nodesPerUnit,
    vcpus: found[1],
    shards: found[1],
    maxConnections: retired.maxConnections,
    bandwidthMbps: mbps === null ? null : { oss: mbps, enterprise: mbps },
    flash: tier === 'EnterpriseFlash',
    kind: 'v1',
    preview: false,
    geoReplication: tier === 'Enterprise' && retired.name !== 'Enterprise_E1',
  };
}
