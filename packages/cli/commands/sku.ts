/** `cinnabar sku list`: the catalogue on this machine, or what one cache can be scaled to. */
import { Command, Option } from 'commander';
import type { ApiClient } from '../api/client.ts';
import type { SkuRow } from '../api/shapes.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import type { Column } from '../output/table.ts';
import { bytes } from '../output/text.ts';
import { POLICIES, state } from './options.ts';

const whole = (value: number | undefined): string => value?.toLocaleString('en-US') ?? '-';

const COLUMNS: readonly Column<SkuRow>[] = [
  { title: 'SKU', value: (s) => s.name, shrinkTo: 18 },
  { title: 'GB', value: (s) => String(s.sizeInGB), align: 'right' },
  { title: 'SHARDS', value: (s) => whole(s.sizing?.shards), align: 'right' },
  {
    title: 'A SHARD',
    value: (s) => (s.sizing === null ? '-' : bytes(s.sizing.maxMemoryBytes)),
    align: 'right',
  },
  { title: 'CLIENTS', value: (s) => whole(s.sizing?.maxConnections), align: 'right' },
  { title: 'MBIT/S', value: (s) => whole(s.sizing?.bandwidthMbps), align: 'right' },
  { title: 'HERE', value: here, shrinkTo: 4 },
];

/** The cache holds more than they could. */
const HOLDS_MORE = 'UsedMemoryTooLarge';

/** The server's codes, shorter; `--json` has the whole sentence. */
const WHY_NOT: Readonly<Record<string, string>> = {
  NotImplemented: 'not built',
  FlashNotBuilt: 'not built',
  InsufficientCapacity: 'no room',
  [HOLDS_MORE]: 'holds more',
  EngineCannotMoveSlots: 'old engine',
  SkuNotAllowedForPolicy: 'NoCluster',
};

function here(sku: SkuRow): string {
  if (sku.current === true) return 'current';
  const code = sku.reason?.code ?? 'no';
  return sku.fits ? 'yes' : (WHY_NOT[code] ?? code);
}

/**
 * A line for each word under HERE: how many SKUs it is about, and the sentence about the one that is nearest to
 * what can be had: the smallest, or, where the data are too large for them, the largest.
 */
export function reasons(rows: readonly SkuRow[]): string[] {
  const kinds = new Map<string, { count: number; nearest: SkuRow }>();
  for (const row of rows) {
    if (row.reason === null) continue;
    const word = here(row);
    const { count, nearest } = kinds.get(word) ?? { count: 0, nearest: row };
    const larger = row.sizeInGB - nearest.sizeInGB;
    const nearer = row.reason.code === HOLDS_MORE ? larger > 0 : larger < 0;
    kinds.set(word, { count: count + 1, nearest: nearer ? row : nearest });
  }
  return [...kinds].map(([word, { count, nearest }]) => {
    const { code = '', message = '' } = nearest.reason ?? {};
    if (count === 1) return message;
    const which = code === HOLDS_MORE ? 'largest' : 'smallest';
    return `"${word}" (${count} SKUs). The ${which} of them: ${message}`;
  });
}

/** With the SKU that it has now, in its place in the catalogue. */
async function withOwn(
  api: ApiClient,
  name: string,
  targets: readonly SkuRow[],
): Promise<readonly SkuRow[]> {
  const { cluster, database } = await api.cache(name);
  const policy = database?.properties.clusteringPolicy ?? 'EnterpriseCluster';
  const all = await api.skus(policy, cluster.properties.highAvailability ?? 'Enabled');
  const isOwn = (row: SkuRow) => row.name.toLowerCase() === cluster.sku.name.toLowerCase();
  const rank = new Map(all.map((row, i) => [row.name, i]));
  const own = all.filter(isOwn).map((row) => ({ ...row, fits: true, reason: null, current: true }));
  return [...targets.filter((row) => !isOwn(row)), ...own].sort(
    (a, b) => (rank.get(a.name) ?? 0) - (rank.get(b.name) ?? 0),
  );
}

interface SkuFlags {
  readonly for?: string;
  readonly policy: string;
  readonly ha?: string;
  readonly all?: boolean;
}

export function skuCommand(): Command {
  const sku = new Command('sku').summary('sizes and tiers');
  sku
    .command('list')
    .summary('all SKUs, with what they mean on this machine')
    .option('--for <name>', 'what this cache can be scaled to now, and why to nothing else')
    .addOption(
      new Option('--policy <policy>', 'as for create')
        .choices([...POLICIES])
        .default('EnterpriseCluster'),
    )
    .option('--ha <on|off>', 'as for create (default: on)', state('--ha'))
    .option('--all', 'also the retired names that old clients send')
    .addHelpText(
      'after',
      `
HERE says whether it could be made now beside the caches that are there, or
why not. It depends on the policy: --policy says for which. With --for it says
whether that cache could become it, with what it holds, and which it is.

Examples:
  cinnabar sku list
  cinnabar sku list --policy OSSCluster --ha off
  cinnabar sku list --for sessions`,
    )
    .action(
      action(async (context: Context, flags: SkuFlags) => {
        const api = context.api();
        if (flags.for === undefined) {
          const all = await api.skus(flags.policy, flags.ha ?? 'Enabled');
          const rows = all.filter((row) => flags.all === true || !row.retired);
          context.output.rows(rows, COLUMNS, 'The catalogue is empty.');
          for (const note of new Set(rows.map((row) => row.sizing?.scaled))) {
            if (note != null) context.output.warn(note);
          }
          return;
        }
        const rows = await withOwn(api, flags.for, await api.scalingTargets(flags.for));
        context.output.rows(rows, COLUMNS, 'There is no SKU.');
        for (const line of reasons(rows)) context.output.warn(line);
      }),
    );
  return sku;
}
