/** `cinnabar maintain`: every process made anew, behind planned failovers; or what comes, and skipping it. */
import { Command } from 'commander';
import type { MaintenanceView } from '../../control/service.ts';
import { waitFor, whenBack } from '../api/operations.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { CliError } from '../errors.ts';
import { wayBack } from '../output/way-back.ts';
import { type WaitFlags, waitFlags, waitOptions } from './options.ts';

interface MaintainFlags extends WaitFlags {
  readonly list?: boolean;
  readonly skip?: boolean;
}

const SOON: Readonly<Record<string, string>> = {
  'under-way': 'under way now',
  'nothing-due': 'nothing',
  'no-window': 'when you ask: cinnabar maintain <name>',
  deferred: 'deferred; when you ask',
};

function what(row: MaintenanceView): string {
  const when = row.next === null ? '' : new Date(row.next.startsAt).toISOString().slice(0, 16);
  if (row.plan === 'in-window') return `in the window from ${when}Z`;
  if (row.plan === 'skipped') {
    return `skipped until ${new Date(row.skippedUntil ?? 0).toISOString().slice(0, 16)}Z`;
  }
  return SOON[row.plan] ?? row.plan;
}

export function maintainCommand(): Command {
  const command = new Command('maintain')
    .summary('restart every process without losing anything')
    .description(
      'Makes every process of a cache anew, one at a time, behind planned failovers: for a newer engine, settings that need a restart, memory in pieces. Clients wait some milliseconds; nothing is lost.',
    )
    .argument('[name]')
    .option('--list', 'what is due, for each cache or this one, and when it will be done')
    .option('--skip', 'leave the next maintenance window out');
  return waitFlags(command)
    .addHelpText(
      'after',
      `
Without maintenance windows nothing is done unasked. Set them with
cinnabar update <name> --window.

Examples:
  cinnabar maintain sessions
  cinnabar maintain --list
  cinnabar maintain sessions --skip`,
    )
    .action(action(maintain));
}

async function maintain(
  context: Context,
  name: string | undefined,
  flags: MaintainFlags,
): Promise<void> {
  const api = await whenBack(context);
  if (flags.list === true) {
    const all = await api.maintenance();
    const rows = all.filter((row) => name === undefined || row.cluster === name);
    return context.output.rows(
      rows,
      [
        { title: 'CACHE', value: (row) => row.cluster, shrinkTo: 12 },
        { title: 'DUE', value: (row) => row.due.map((each) => each.code).join(', ') || '-' },
        { title: 'WINDOWS', value: (row) => String(row.windows), align: 'right' },
        { title: 'WHAT COMES', value: what, shrinkTo: 20 },
        { title: 'WAY BACK', value: ({ upgrade }) => wayBack(upgrade), shrinkTo: 14 },
      ],
      'There is no cache.',
    );
  }
  if (name === undefined) {
    throw new CliError(
      'usage',
      'missing-name',
      'Which cache?',
      'cinnabar maintain <name>, or --list',
    );
  }
  if (flags.skip === true) {
    const row = await api.skipMaintenance(name);
    if (context.output.json) context.output.data(row);
    else context.output.note(`Maintenance of '${name}': ${what(row)}.`);
    return;
  }
  const accepted = await api.maintain(name);
  const ended = await waitFor(api, context.output, accepted.operation, waitOptions(flags));
  if (context.output.json && ended !== null) context.output.data(ended);
}
