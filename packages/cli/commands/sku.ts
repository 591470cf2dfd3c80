/** `cinnabar sku list`: the catalogue, or what one cache can be scaled to. */
import { Command } from 'commander';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import type { Column } from '../output/table.ts';

type Sku = Readonly<Record<string, unknown>>;

const text = (value: unknown): string =>
  value === null || value === undefined ? '-' : String(value);
const number = (value: unknown): string =>
  typeof value === 'number' ? value.toLocaleString('en-US') : text(value);

const COLUMNS: readonly Column<Sku>[] = [
  { title: 'SKU', value: (s) => text(s['name']), shrinkTo: 18 },
  { title: 'GB', value: (s) => text(s['sizeInGB']), align: 'right' },
  { title: 'SHARDS', value: (s) => text(s['shards']), align: 'right' },
  { title: 'VCPUS', value: (s) => text(s['vCpus']), align: 'right' },
  { title: 'CONNECTIONS', value: (s) => number(s['maxConnections']), align: 'right' },
  { title: 'MBIT/S', value: (s) => number(s['bandwidthMbps']), align: 'right' },
  { title: 'HERE', value: (s) => text(s['availability']), shrinkTo: 6 },
];

export function skuCommand(): Command {
  const sku = new Command('sku').summary('sizes and tiers');
  sku
    .command('list')
    .summary('all SKUs, with what they mean on this machine')
    .option('--for <name>', 'only what this cache can be scaled to')
    .addHelpText('after', '\nExamples:\n  cinnabar sku list\n  cinnabar sku list --for sessions')
    .action(
      action(async (context: Context, flags: { for?: string }) => {
        const all = await context.api().skus();
        if (flags.for === undefined) {
          context.output.rows(all, COLUMNS, 'The catalogue is empty.');
          return;
        }
        const fit = new Set((await context.api().skusForScaling(flags.for)).map((s) => s.name));
        const rows = all.filter((s) => fit.has(text(s['name'])));
        context.output.rows(rows, COLUMNS, `'${flags.for}' can be scaled to nothing else now.`);
      }),
    );
  return sku;
}
