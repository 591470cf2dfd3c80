/** Bounds of the catalogue, each with its reason. */

const MIB = 1024 * 1024;
export const BYTES_PER_GB = 1e9;

/** Azure keeps a fifth of the advertised size for replication, failover and buffers (12 GB: 9.6 usable). */
export const USABLE_SHARE = 0.8;

/** Azure offers NoCluster up to this advertised size: one engine is one thread and one fork. */
export const NO_CLUSTER_MAX_GB = 25;

/**
 * The least `maxmemory` of a shard in miniature. The engine counts its replication backlog (16 MiB)
 * and tables (3 MB measured) into it; with less a cache would evict without holding anything.
 */
export const MIN_SHARD_BYTES = 32 * MIB;

/** More than eight I/O threads hardly help, says the engine's own configuration file. */
export const MAX_IO_THREADS = 8;

/** One thread of an engine for so many cores: primary, replica, endpoint and application share them. */
export const CORES_OF_ONE_THREAD = 4;

/**
 * One client may hold replies up to its shard's reserve (a quarter of `maxmemory` is a fifth of the
 * advertised size), within these bounds. Less than the lower one would cut clients that read a few
 * large values at once; more than the upper one has no use, as a value is at most 512 MiB.
 */
export const OUTPUT_BUFFER_SHARE = 0.25;
/**
 * What went in must come out: one value of any size that the shard takes beside others, half of it, or
 * 512 MiB, which no value exceeds, with its header. (A client was cut while it read its own 512 MiB.)
 */
export const LARGEST_VALUE_SHARE = 0.5;
export const LARGEST_VALUE_BYTES = 513 * MIB;
export const MIN_OUTPUT_BUFFER_BYTES = 32 * MIB;
export const MAX_OUTPUT_BUFFER_BYTES = 1024 * MIB;

/** What an engine takes beside its data: 26 MB measured with a full replication backlog of 16 MiB. */
export const ENGINE_BASE_BYTES = 32 * MIB;

/**
 * Pages that are copied while a snapshot or a replica is being made, as a share of the shard. Under
 * random writes it may approach 1; a quarter holds for a write rate that changes a quarter of the
 * pages in the seconds that it takes. Engine rule 24 allows one child process a shard at a time.
 */
export const FORK_COPY_SHARE = 0.25;

/** Kept free for the operating system, the control process and the endpoint. */
export const MACHINE_RESERVE_SHARE = 0.05;
export const MACHINE_RESERVE_BYTES = 256 * MIB;
export const DISK_RESERVE_SHARE = 0.02;
export const DISK_RESERVE_BYTES = 512 * MIB;

/**
 * What a refused SKU is advised to be divided by, at most: that makes one of the largest, 4.5 TB, of a shard's least
 * size (`MIN_SHARD_BYTES`). And into how many shards: as many as the command line takes when it is not told.
 */
export const MAX_ADVISED_DIVISOR = 32_768;
export const ADVISED_SHARDS = 4;

/** Azure's name rule: 1 to 60 letters, digits and single hyphens. */
export const MAX_NAME_LENGTH = 60;
export const MAX_GROUP_NAME_LENGTH = 90;
