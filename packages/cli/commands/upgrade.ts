/** `cinnabar upgrade`: to the newer engine in use, back to the one before, or to stay with the new one. */
import { Command } from 'commander';
import { waitFor, whenBack } from '../api/operations.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { CliError } from '../errors.ts';
import { type WaitFlags, waitFlags, waitOptions } from './options.ts';

interface UpgradeFlags extends WaitFlags {
  readonly back?: boolean;
  readonly finish?: boolean;
  readonly keepWayBack?: string;
}

const HOURS: Readonly<Record<string, number>> = { m: 1 / 60, h: 1, d: 24 };

export function upgradeCommand(): Command {
  const command = new Command('upgrade')
    .summary('to a newer engine, and back')
    .description(
      'Every process of a cache becomes one of the engine in use, one at a time, behind planned failovers. For a day, or as long as you say, the way back stays open: until then what only the newer engine knows is refused.',
    )
    .argument('<name>')
    .option('--keep-way-back <time>', 'how long the way back stays open, e.g. 90m, 24h, 7d; 0: not')
    .option('--back', 'go back to the engine from before')
    .option('--finish', 'close the way back now: the new commands may be used');
  return waitFlags(command)
    .addHelpText(
      'after',
      `
Which engine is in use: cinnabar engine list. Going back is possible during the
upgrade and until the way back closes; nothing is lost either way.

Examples:
  cinnabar upgrade sessions
  cinnabar upgrade sessions --keep-way-back 7d
  cinnabar upgrade sessions --back
  cinnabar upgrade sessions --finish`,
    )
    .action(action(upgrade));
}

async function upgrade(context: Context, name: string, flags: UpgradeFlags): Promise<void> {
  const { output } = context;
  const api = await whenBack(context);
  const { back = false, finish = false, keepWayBack } = flags;
  if ([back, finish, keepWayBack !== undefined].filter(Boolean).length > 1) {
    throw new CliError(
      'usage',
      'one-at-a-time',
      '--back, --finish and --keep-way-back exclude each other.',
      'cinnabar upgrade --help',
    );
  }
  if (finish) {
    const view = await api.finishUpgrade(name);
    if (output.json) output.data(view);
    else output.note(`'${name}' stays with its engine: the way back is closed.`);
    return;
  }
  const hours = keepWayBack === undefined ? {} : { wayBackHours: hoursOf(keepWayBack) };
  const accepted = await api.upgrade(name, back ? { back } : hours);
  const ended = await waitFor(api, output, accepted.operation, waitOptions(flags));
  if (ended === null) return;
  if (output.json) return output.data(ended);
  const row = (await api.maintenance()).find((each) => each.cluster === name);
  if (row?.upgrade?.phase !== 'open') return;
  output.note(
    `The way back to ${row.upgrade.from} is open until ${new Date(row.upgrade.until ?? 0).toISOString()}: cinnabar upgrade ${name} --back, or --finish.`,
  );
}

function hoursOf(text: string): number {
  const [, amount, unit = 'h'] = /^(\d+(?:\.\d+)?)([mhd])?$/.exec(text) ?? [];
  if (amount === undefined) {
    throw new CliError(
      'usage',
      'invalid-time',
      `'${text}' is no time.`,
      'Say it in minutes, hours or days: --keep-way-back 90m, 24h or 7d.',
    );
  }
  return Number(amount) * (HOURS[unit] ?? 1);
}
