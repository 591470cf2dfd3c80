/**
 * What a SKU becomes on this machine. Pure: the same input gives the same figures, which are stored
 * with the database, applied to its processes, and read back from them by a test.
 */
import type { Policy } from '../../endpoint/control-protocol.ts';
import { ControlError } from '../errors.ts';
import type { Sizing } from '../store/records.ts';
import {
  BYTES_PER_GB,
  CORES_OF_ONE_THREAD,
  LARGEST_VALUE_BYTES,
  LARGEST_VALUE_SHARE,
  MAX_IO_THREADS,
  MAX_OUTPUT_BUFFER_BYTES,
  MIN_OUTPUT_BUFFER_BYTES,
  MIN_SHARD_BYTES,
  NO_CLUSTER_MAX_GB,
  OUTPUT_BUFFER_SHARE,
  USABLE_SHARE,
} from './limits.ts';
import { findOffer } from './lookup.ts';
import { describeMiniature, type Miniature } from './miniature.ts';
import type { Sku } from './skus.ts';

export interface SizingRequest {
  readonly sku: string;
  readonly capacity: number | null;
  readonly highAvailability: boolean;
  readonly policy: Policy;
}

export interface SizingMachine {
  /** Cores that our processes may use. */
  readonly cores: number;
  /** Null: the catalogue's figures as they are. */
  readonly miniature: Miniature | null;
}

/**
 * Shards, `maxmemory` a shard, connections, threads and buffers of a database.
 *
 * @throws ControlError 400 `InvalidSku`, `InvalidSkuCapacity`, `SkuNotAllowedForPolicy` (NoCluster
 * above 25 GB), 501 `FlashNotBuilt` (values cannot live on disk yet)
 */
export function sizing(request: SizingRequest, machine: SizingMachine): Sizing {
  const { sku } = findOffer(request.sku, request.capacity);
  refuseFlash(sku);
  refuseLargeNoCluster(sku, request.policy);

  const fullShards = request.policy === 'NoCluster' ? 1 : sku.shards;
  const shards = Math.min(fullShards, machine.miniature?.maxShards ?? fullShards);
  const fullBytes = usableBytes(sku);
  const perShard = Math.floor((fullBytes * (machine.miniature?.memoryFactor ?? 1)) / shards);
  const maxMemoryBytes = Math.max(MIN_SHARD_BYTES, perShard);
  return {
    sku: sku.name,
    shards,
    replicas: request.highAvailability ? 1 : 0,
    maxMemoryBytes,
    maxConnections: sku.maxConnections,
    ioThreads: ioThreads(sku.vcpus / fullShards, machine.cores),
    outputBufferBytes: outputBufferBytes(maxMemoryBytes),
    bandwidthMbps: bandwidth(sku, request.policy),
    scaled:
      machine.miniature === null
        ? null
        : describeMiniature({
            fullBytes,
            bytes: maxMemoryBytes * shards,
            fullShards,
            shards,
          }),
  };
}

/** Bytes that a cache of this SKU may hold: 80 % of what is advertised. */
export function usableBytes(sku: Sku): number {
  return Math.floor(sku.sizeGB * BYTES_PER_GB * USABLE_SHARE);
}

function refuseFlash(sku: Sku): void {
  if (!sku.flash) return;
  throw new ControlError(
    'FlashNotBuilt',
    501,
    `${sku.name} keeps values on disk, which is not built yet; a cache in memory under that name ` +
      'would not be what it says. Choose a Memory Optimized SKU.',
    'sku.name',
  );
}

function refuseLargeNoCluster(sku: Sku, policy: Policy): void {
  if (policy !== 'NoCluster' || sku.sizeGB <= NO_CLUSTER_MAX_GB) return;
  throw new ControlError(
    'SkuNotAllowedForPolicy',
    400,
    `clusteringPolicy NoCluster is for SKUs of at most ${NO_CLUSTER_MAX_GB} GB, and ${sku.name} has ` +
      `${sku.sizeGB} GB. Choose a smaller SKU, or OSSCluster or EnterpriseCluster.`,
    'properties.clusteringPolicy',
  );
}

/**
 * A shard's share of the vCPUs, rounded down: the main thread counts as one. A helping thread waits
 * for work by spinning, so it only helps on a core of its own: an engine takes no more than its part
 * of a machine on which its replica and the endpoint's workers need as much.
 */
function ioThreads(vcpusPerShard: number, cores: number): number {
  const part = Math.floor(cores / CORES_OF_ONE_THREAD);
  return Math.max(1, Math.min(Math.floor(vcpusPerShard), part, MAX_IO_THREADS));
}

function outputBufferBytes(maxMemoryBytes: number): number {
  const share = Math.floor(maxMemoryBytes * OUTPUT_BUFFER_SHARE);
  const value = Math.min(LARGEST_VALUE_BYTES, Math.floor(maxMemoryBytes * LARGEST_VALUE_SHARE));
  return Math.min(MAX_OUTPUT_BUFFER_BYTES, Math.max(MIN_OUTPUT_BUFFER_BYTES, share, value));
}

/** Clients of one address share that address: Azure's figure for the Enterprise policy fits NoCluster too. */
function bandwidth(sku: Sku, policy: Policy): number {
  const figures = sku.bandwidthMbps;
  if (figures === null) throw new Error(`no bandwidth for ${sku.name}, which is not refused`);
  return policy === 'OSSCluster' ? figures.oss : figures.enterprise;
}
