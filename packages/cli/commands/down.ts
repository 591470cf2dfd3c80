/**
 * `cinnabar down`: stops everything in order. Where that would lose data (a cache cannot be saved, as on
 * a full disk) it is refused, and everything goes on. When the control process is gone but engines or the
 * endpoint go on, control is started once more and told to stop: it knows how to save and end them.
 * Who finds a start or a stop under way waits for it, and sees to the rest.
 * `--now` ends them without saving.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import { CONTROL_FILE, UNDER_WAY } from '../../control/boot-protocol.ts';
import { controlOf, isFull, readStopFile } from '../api/absent.ts';
import { readControlFile } from '../api/client.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { gone, killAll } from '../ending.ts';
import { CliError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import type { Folders } from '../folders.ts';
import { makeFolders } from '../folders.ts';
import {
  BACK_TIMEOUT_MS,
  DOWN_NOW_TIMEOUT_MS,
  GONE_POLL_MS,
  JOINED_TIMEOUT_MS,
  STOP_TURNS,
} from '../limits.ts';
import { isAlive, processesOf } from '../orphans.ts';
import { plural } from '../output/text.ts';
import { type Reviver, reviverOf } from '../reviver.ts';
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
  if (now) return atOnce(context);
  const { folders, output } = context;
  let found = false;
  for (let turn = 0; turn < STOP_TURNS; turn++) {
    const there = await stopControl(context);
    found ||= there;
    const left = processesOf(folders);
    if (left.length === 0) return found ? 'order' : 'nothing';
    found = true;
    // It came back, as where systemd started it again; or somebody else ends what is left.
    if (controlOf(folders.home) !== null) continue;
    output.note(
      `${plural(left.length, 'process', 'processes')} left by a control process that was killed.`,
    );
    await stopLeftovers(context);
  }
  const rest = processesOf(folders);
  if (rest.length === 0) return 'order';
  throw new CliError(
    'failed',
    'still-running',
    `Still running: ${rest.map((p) => p.pid).join(', ')}.`,
    'End them without saving: cinnabar down --now',
  );
}

async function atOnce(context: Context): Promise<'nothing' | 'order' | 'killed'> {
  const { folders, output } = context;
  const control = readControlFile(folders.home);
  const running = control !== null && isAlive(control.pid);
  if (running) {
    try {
      output.note('Stopping at once.');
      await context.api().stop(false);
      await gone(() => isAlive(control.pid), DOWN_NOW_TIMEOUT_MS, `control process ${control.pid}`);
    } catch (error) {
      output.warn(`it did not stop by itself: ${error instanceof Error ? error.message : error}`);
    }
  }
  if (processesOf(folders).length === 0) return running ? 'order' : 'nothing';
  await killAll(folders);
  return 'killed';
}

/** Has the control process stop, and waits for its end. False: there is none. */
async function stopControl(context: Context): Promise<boolean> {
  const { folders, output } = context;
  const control = readControlFile(folders.home);
  const serves = control !== null && isAlive(control.pid);
  const pid = serves ? control.pid : controlOf(folders.home);
  if (pid === null) return false;
  const reviver = reviverOf(pid);
  const withinMs = serves ? await ask(context) : null;
  if (withinMs === null) {
    output.note('A start or stop is under way; waiting for it.');
    const waits = (): boolean => isAlive(pid) && !isRunning(folders);
    await gone(waits, JOINED_TIMEOUT_MS, `control process ${pid}`);
    if (isAlive(pid)) return true; // its start: it can be asked now
  } else {
    await gone(() => isAlive(pid), withinMs, `control process ${pid}`);
  }
  await tellEnd(context, pid, reviver);
  return true;
}

/** How long the stop may take; null: it hears nobody any more, because it ends already. */
async function ask(context: Context): Promise<number | null> {
  context.output.note('Stopping in order.');
  try {
    const withinMs = await context.api().stop(true);
    if (isLong(withinMs)) context.output.note(mayTake(withinMs));
    return withinMs;
  } catch (error) {
    const away = error instanceof CliError && ['notRunning', 'underWay'].includes(error.exit);
    if (away && !isRunning(context.folders)) return null;
    throw error;
  }
}

/** What control has written down at its end; with a disk full to the last byte it could not even do that. */
async function tellEnd(
  { folders, output }: Context,
  pid: number,
  mayComeBack: Reviver,
): Promise<void> {
  // Null: it was killed, or could not write it; what runs on is looked for next.
  const file = readStopFile(folders.home);
  const end = file?.pid === pid ? file : null;
  for (const note of end?.notes ?? []) output.warn(note);
  if (end?.held.length === 0) return;
  // Who asks next should meet the one that goes on, and nobody else be started beside it.
  const deadline = performance.now() + BACK_TIMEOUT_MS;
  while (!isRunning(folders) && processesOf(folders).length > 0 && performance.now() < deadline) {
    if (end === null && !mayComeBack() && controlOf(folders.home) === null) return;
    await new Promise((resolve) => setTimeout(resolve, GONE_POLL_MS));
  }
  const back = isRunning(folders);
  // One that was killed and is back is told once more.
  if (end === null && !(back && isFull(folders.home))) return;
  const why = end?.held.join(' ') ?? 'Why could not be written down: is the disk full?';
  const state = back ? 'everything goes on' : 'engines go on, and Cinnabar is not back yet';
  throw new CliError(
    'refused',
    'not-saved',
    `${why} The stop was refused, because it would have lost data; ${state}.`,
    'Make it possible to save, then again: cinnabar down. Or end it without its data: cinnabar down --now',
  );
}

/** Starts control and has it stop in order as soon as it can; or somebody else does that just now. */
async function stopLeftovers(context: Context): Promise<void> {
  makeFolders(context.folders);
  const ready = new AbortController();
  const told = render(context.output, () => ready.abort());
  const code = await runParent({
    start: startOptions({ apiPort: '0', httpsPort: '0' }, context.folders),
    ignoreHangup: false,
    report: {
      ...told,
      message: (message) => {
        if (message.type !== 'fatal' || message.code !== UNDER_WAY) told.message(message);
      },
    },
    stop: ready.signal,
  });
  if (code !== EXIT.ok && code !== EXIT.underWay) {
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
