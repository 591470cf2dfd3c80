/** `cinnabar sku list`: the catalogue on this machine, or what one cache can be scaled to. */
import { Command, Option } from 'commander';
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

/** The server's codes, shorter; `--json` has the whole sentence. */
const WHY_NOT: Readonly<Record<string, string>> = {
  NotImplemented: 'not built',
  FlashNotBuilt: 'not built',
  InsufficientCapacity: 'no room',
};

function here(sku: SkuRow): string {
  const code = sku.reason?.code ?? 'no';
  return sku.fits ? 'yes' : (WHY_NOT[code] ?? code);
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
    .option('--for <name>', 'only what this cache can be scaled to')
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
why not. It depends on the policy: --policy says for which.

Examples:
  cinnabar sku list
  cinnabar sku list --policy OSSCluster --ha off
  cinnabar sku list --for sessions`,
    )
    .action(
      action(async (context: Context, flags: SkuFlags) => {
        const api = context.api();
        const all = await api.skus(flags.policy, flags.ha ?? 'Enabled');
        if (flags.for === undefined) {
          const rows = all.filter((row) => flags.all === true || !row.retired);
          context.output.rows(rows, COLUMNS, 'The catalogue is empty.');
          for (const note of new Set(rows.map((row) => row.sizing?.scaled))) {
            if (note != null) context.output.warn(note);
          }
          return;
        }
        const fit = new Set((await api.skusForScaling(flags.for)).map((each) => each.name));
        const rows = all.filter((row) => fit.has(row.name));
        context.output.rows(rows, COLUMNS, `'${flags.for}' can be scaled to nothing else now.`);
      }),
    );
  return sku;
}
