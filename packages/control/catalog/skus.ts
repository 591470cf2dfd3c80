/**
 * The tiers and sizes that a cache can be created with, as Azure names them. Data only: what a SKU
 * becomes on this machine is `sizing.ts`.
 *
 * Sources: Microsoft's architecture page for Managed Redis (sizes, vCPUs, shards), the scaling page
 * (connections) and the preview performance page (bandwidth), versions of 2024 to 2026. They
 * disagree in places. What was decided, and why:
 *
 * - Gigabytes are decimal. The one calculation that Microsoft publishes with these sizes (how many
 *   keys fill an X3) takes 3 GB as 3e9 bytes.
 * - B0 and B1 have one shard. The preview table said two; the later one says one, and a 1 GB cache
 *   gains nothing from a second engine on two vCPUs.
 * - B0 and B1 have more bandwidth (5,000 Mbps) than B3 and B5 (2,000). That is how it is printed,
 *   for burstable machines; figures are not "repaired" here.
 * - X3 has four vCPUs. The page on server load counts it among the two-vCPU sizes, but both the SKU
 *   table and its 480,000 GET/s (B10's figure, which has four) say four.
 * - X700 has 384 vCPUs. The preview page said 320; 384 is in the later table and equals its shards.
 * - M1000 has more shards (192) than vCPUs (128). Printed so in each version of the table.
 * - A250 is 240 GB. The pages give 235 to 240; every other "250" size is 240.
 * - 150 and 250 sizes are 180 and 240 GB, as in the tables. One release note called them 175 and
 *   235 GB.
 * - The bandwidth of sizes above 120 GB comes from a table that Microsoft commented out. It is the
 *   only figure there is, and it is used for alarms, not to throttle.
 */

export type Tier =
  | 'Balanced'
  | 'MemoryOptimized'
  | 'ComputeOptimized'
  | 'FlashOptimized'
  | 'Enterprise'
  | 'EnterpriseFlash';

export interface Sku {
  /** Canonical spelling, e.g. 'Balanced_B1'. */
  readonly name: string;
  readonly tier: Tier;
  /** Advertised size in decimal gigabytes, of one unit where the SKU has a capacity. */
  readonly sizeGB: number;
  readonly vcpus: number;
  /** Primary shards. */
  readonly shards: number;
  readonly maxConnections: number;
  /** Megabits a second, by how clients connect; null where nobody published a figure (Flash). */
  readonly bandwidthMbps: { readonly oss: number; readonly enterprise: number } | null;
  /** Values live on disk on this SKU. */
  readonly flash: boolean;
  /** ARM's `kind`: v1 for the retired Enterprise names, v2 for Managed Redis. */
  readonly kind: 'v1' | 'v2';
  /** Azure marks these as preview (May 2026). */
  readonly preview: boolean;
  /** Azure allows active geo-replication on it. */
  readonly geoReplication: boolean;
}

type Row = readonly [
  suffix: string,
  sizeGB: number,
  vcpus: number,
  shards: number,
  connections: number,
  mbps: number | readonly [oss: number, enterprise: number] | null,
];

const BALANCED: readonly Row[] = [
  ['B0', 0.5, 2, 1, 15_000, 5_000],
  ['B1', 1, 2, 1, 15_000, 5_000],
  ['B3', 3, 2, 2, 15_000, 2_000],
  ['B5', 6, 2, 2, 15_000, 2_000],
  ['B10', 12, 4, 2, 30_000, 4_000],
  ['B20', 24, 8, 6, 75_000, 8_000],
  ['B50', 60, 16, 12, 150_000, 10_000],
  ['B100', 120, 32, 24, 200_000, 16_000],
  ['B150', 180, 48, 48, 200_000, 24_000],
  ['B250', 240, 64, 48, 200_000, 32_000],
  ['B350', 360, 96, 96, 200_000, 40_000],
  ['B500', 480, 128, 96, 200_000, [64_000, 32_000]],
  ['B700', 720, 192, 192, 200_000, [80_000, 40_000]],
  ['B1000', 960, 256, 192, 200_000, [128_000, 32_000]],
];

const MEMORY_OPTIMIZED: readonly Row[] = [
  ['M10', 12, 2, 2, 15_000, 2_000],
  ['M20', 24, 4, 2, 30_000, 4_000],
  ['M50', 60, 8, 6, 75_000, 8_000],
  ['M100', 120, 16, 12, 150_000, 10_000],
  ['M150', 180, 24, 24, 200_000, [24_000, 8_000]],
  ['M250', 240, 32, 24, 200_000, 16_000],
  ['M350', 360, 48, 48, 200_000, 24_000],
  ['M500', 480, 64, 48, 200_000, 32_000],
  ['M700', 720, 96, 96, 200_000, 32_000],
  ['M1000', 960, 128, 192, 200_000, [64_000, 32_000]],
  ['M1500', 1440, 192, 192, 200_000, [96_000, 32_000]],
  ['M2000', 1920, 256, 192, 200_000, [128_000, 32_000]],
];

const COMPUTE_OPTIMIZED: readonly Row[] = [
  ['X3', 3, 4, 2, 30_000, 10_000],
  ['X5', 6, 4, 2, 30_000, 10_000],
  ['X10', 12, 8, 6, 75_000, 12_500],
  ['X20', 24, 16, 12, 150_000, 12_500],
  ['X50', 60, 32, 24, 200_000, 16_000],
  ['X100', 120, 64, 48, 200_000, 28_000],
  ['X150', 180, 96, 96, 200_000, 35_000],
  ['X250', 240, 128, 96, 200_000, [56_000, 28_000]],
  ['X350', 360, 192, 192, 200_000, [70_000, 35_000]],
  ['X500', 480, 256, 192, 200_000, [112_000, 28_000]],
  ['X700', 720, 384, 384, 200_000, [140_000, 35_000]],
];

const FLASH_OPTIMIZED: readonly Row[] = [
  ['A250', 240, 8, 6, 75_000, null],
  ['A500', 480, 16, 12, 150_000, null],
  ['A700', 720, 24, 24, 200_000, null],
  ['A1000', 960, 32, 24, 200_000, null],
  ['A1500', 1440, 48, 48, 200_000, null],
  ['A2000', 1920, 64, 48, 200_000, null],
  ['A4500', 4500, 144, 96, 200_000, null],
];

/** The tier page: in memory B500, M500, X500 and larger, on flash everything over 1,500 GB. */
function isPreview(tier: Tier, sizeGB: number): boolean {
  return tier === 'FlashOptimized' ? sizeGB > 1500 : sizeGB > 360;
}

function family(tier: Tier, rows: readonly Row[]): Sku[] {
  return rows.map(([suffix, sizeGB, vcpus, shards, maxConnections, mbps]) => ({
    name: `${tier}_${suffix}`,
    tier,
    sizeGB,
    vcpus,
    shards,
    maxConnections,
    bandwidthMbps:
      mbps === null
        ? null
        : typeof mbps === 'number'
          ? { oss: mbps, enterprise: mbps }
          : { oss: mbps[0], enterprise: mbps[1] },
    flash: tier === 'FlashOptimized',
    kind: 'v2',
    preview: isPreview(tier, sizeGB),
    geoReplication: tier !== 'FlashOptimized' && suffix !== 'B0' && suffix !== 'B1',
  }));
}

/** The 44 SKUs of Managed Redis: 14 Balanced, 12 Memory, 11 Compute and 7 Flash Optimized. */
export const SKUS: readonly Sku[] = [
  ...family('Balanced', BALANCED),
  ...family('MemoryOptimized', MEMORY_OPTIMIZED),
  ...family('ComputeOptimized', COMPUTE_OPTIMIZED),
  ...family('FlashOptimized', FLASH_OPTIMIZED),
];
