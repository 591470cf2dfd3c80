/**
 * `cinnabar down`: stops everything in order. Where that would lose data (a cache cannot be saved, as on
 * a full disk) it is refused, and everything goes on. When the control process is gone but engines or the
 * endpoint go on, control is started once more and told to stop: it knows how to save and end them.
 * `--now` ends them without saving.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import { CONTROL_FILE } from '../../control/boot-protocol.ts';
import { readStopFile } from '../api/absent.ts';
import { readControlFile } from '../api/client.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { gone, killAll } from '../ending.ts';
import { CliError } from '../errors.ts';
import type { Folders } from '../folders.ts';
import { makeFolders } from '../folders.ts';
import { BACK_TIMEOUT_MS, DOWN_NOW_TIMEOUT_MS, GONE_POLL_MS } from '../limits.ts';
import { isAlive, processesOf } from '../orphans.ts';
import { plural } from '../output/text.ts';
import { startOptions } from '../up/options.ts';
import { runParent } from '../up/parent.ts';
import { isLong, mayTake, render } from '../up/render.ts';

export function downCommand(): Command {
  return new Command('down')
    .summary('stop Cinnabar; the data is kept')
    .description(
      'Saves every cache and ends everything. A cache that cannot be saved (the disk is full) is not ended: ' +
        'then the stop is refused and everything goes on.',
    )
    .option('--now', 'do not save: data without persistence is lost')
    .addHelpText('after', '\nExamples:\n  cinnabar down\n  cinnabar down --now')
    .action(
      action(async (context: Context, flags: { now?: boolean }) => {
        const stopped = await down(context, flags.now === true);
        if (context.output.json) context.output.data({ stopped });
        else context.output.note(stopped === 'nothing' ? 'Nothing runs here.' : 'Stopped.');
      }),
    );
}

export async function down(
  context: Context,
  now: boolean,
): Promise<'nothing' | 'order' | 'killed'> {
  const { folders, output } = context;
  const control = readControlFile(folders.home);
  const running = control !== null && isAlive(control.pid);
  if (running) {
    try {
      output.note(now ? 'Stopping at once.' : 'Stopping in order.');
      const withinMs = await context.api().stop(!now);
      if (!now && isLong(withinMs)) output.note(mayTake(withinMs));
      const deadlineMs = now ? DOWN_NOW_TIMEOUT_MS : withinMs;
      await gone(() => isAlive(control.pid), deadlineMs, `control process ${control.pid}`);
    } catch (error) {
      if (!now) throw error;
      output.warn(`it did not stop by itself: ${error instanceof Error ? error.message : error}`);
    }
    if (!now) await tellEnd(context, control.pid);
  }
  const left = processesOf(folders);
  if (left.length === 0) return running ? 'order' : 'nothing';
  if (now) {
    await killAll(folders);
    return 'killed';
  }
  output.note(
    `${plural(left.length, 'process', 'processes')} left by a control process that was killed.`,
  );
  await stopLeftovers(context);
  const rest = processesOf(folders);
  if (rest.length === 0) return 'order';
  throw new CliError(
    'failed',
    'still-running',
    `Still running: ${rest.map((p) => p.pid).join(', ')}.`,
    'End them without saving: cinnabar down --now',
  );
}

/** What control has written down at its end; with a disk full to the last byte it could not even do that. */
async function tellEnd({ folders, output }: Context, pid: number): Promise<void> {
  // Null: it could not write it; what runs on is looked for next.
  const file = readStopFile(folders.home);
  const end = file?.pid === pid ? file : null;
  for (const note of end?.notes ?? []) output.warn(note);
  if (end?.held.length === 0) return;
  // Who asks next should meet the one that goes on, and nobody else be started beside it.
  const deadline = Date.now() + BACK_TIMEOUT_MS;
  while (!isRunning(folders) && processesOf(folders).length > 0 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, GONE_POLL_MS));
  }
  const back = isRunning(folders);
  if (end === null && !back) return;
  const why = end?.held.join(' ') ?? 'Why could not be written down: is the disk full?';
  const state = back ? 'everything goes on' : 'engines go on, and Cinnabar is not back yet';
  throw new CliError(
    'refused',
    'not-saved',
    `${why} The stop was refused, because it would have lost data; ${state}.`,
    'Make it possible to save, then again: cinnabar down. Or end it without its data: cinnabar down --now',
  );
}

/** Starts control and has it stop in order as soon as it can. */
async function stopLeftovers(context: Context): Promise<void> {
  makeFolders(context.folders);
  const ready = new AbortController();
  const code = await runParent({
    start: startOptions({ apiPort: '0', httpsPort: '0' }, context.folders),
    ignoreHangup: false,
    report: render(context.output, () => ready.abort()),
    stop: ready.signal,
  });
  if (code !== 0) {
    throw new CliError(
      'failed',
      'stop-failed',
      'What was left could not be stopped in order; the reason stands above.',
      'Mend it, then again: cinnabar down. Or end it without saving: cinnabar down --now',
    );
  }
}

export function isRunning(folders: Folders): boolean {
  if (!existsSync(path.join(folders.home, CONTROL_FILE))) return false;
  const control = readControlFile(folders.home);
  return control !== null && isAlive(control.pid);
}
