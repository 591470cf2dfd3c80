/** `cinnabar uninstall`: shows every folder that Cinnabar made and removes them all. */
import { accessSync, constants, existsSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { CliError, systemError } from '../errors.ts';
import { processesOf } from '../orphans.ts';
import { confirmed } from '../output/confirm.ts';
import { folderBytes } from '../output/disk.ts';
import { bytes } from '../output/text.ts';
import { installedUnits, startsOn } from '../service/unit.ts';
import { isRunning } from './down.ts';

interface Part {
  readonly what: string;
  readonly path: string;
  readonly bytes: number;
}

export function uninstallCommand(): Command {
  return new Command('uninstall')
    .summary('remove every folder that Cinnabar made, with all data')
    .description(
      'Removes the data folder (caches, certificates, logs), the sockets, the engines that were fetched, ' +
        'and the service unit. The program itself is removed by: npm uninstall -g cinnabar',
    )
    .option('-y, --yes', 'do not ask')
    .option('--keep-engines', 'keep the engines: other data folders may use them')
    .addHelpText(
      'after',
      '\nExamples:\n  cinnabar uninstall\n  cinnabar uninstall --yes --keep-engines',
    )
    .action(
      action(async (context: Context, flags: { yes?: boolean; keepEngines?: boolean }) => {
        const { folders, output } = context;
        const left = processesOf(folders);
        if (isRunning(folders) || left.length > 0) {
          throw new CliError(
            'conflict',
            'running',
            `Cinnabar runs on ${folders.home}; nothing was removed.`,
            'Stop it first: cinnabar down',
          );
        }
        const parts = partsOf(context, flags.keepEngines === true);
        if (!output.json) {
          output.rows(
            parts,
            [
              { title: 'WHAT', value: (p) => p.what },
              { title: 'SIZE', value: (p) => bytes(p.bytes), align: 'right' },
              { title: 'PATH', value: (p) => p.path },
            ],
            'Nothing is there to remove.',
          );
        }
        if (parts.length > 0) {
          await confirmed(context, flags.yes, 'Remove all of this for good?');
          for (const part of parts) remove(part.path);
        }
        removeIfEmpty(folders.runRoot);
        removeIfEmpty(path.dirname(folders.codeCache));
        if (output.json) output.data({ removed: parts });
        else if (parts.length > 0)
          output.note('Removed. The program itself: npm uninstall -g cinnabar');
      }),
    );
}

function partsOf(context: Context, keepEngines: boolean): Part[] {
  const { folders } = context;
  const named: [string, string][] = [
    ['data, certificates, logs', folders.home],
    ['sockets', folders.runDir],
    ...(keepEngines ? [] : ([['engines', folders.engineCache]] as [string, string][])),
    ...(keepEngines ? [] : ([['compiled code', folders.codeCache]] as [string, string][])),
    ['a library for Node.js', path.join(path.dirname(folders.engineCache), 'runtime')],
    ...units(context).map((file): [string, string] => ['service unit', file]),
  ];
  return named
    .filter(([, place]) => existsSync(place))
    .map(([what, place]) => ({ what, path: place, bytes: folderBytes(place) }));
}

/** Those that start Cinnabar on this data folder; one that only root can remove is named instead. */
function units(context: Context): string[] {
  const ours = installedUnits(context.env).filter((file) => startsOn(file, context.folders.home));
  return ours.filter((file) => {
    if (writable(path.dirname(file))) return true;
    context.output.warn(
      `${file} stays: only root can remove it. Type: sudo cinnabar service remove`,
    );
    return false;
  });
}

function writable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Other data folders of this user may have their things in it. */
function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Not empty, or never made.
  }
}

function remove(place: string): void {
  try {
    rmSync(place, { recursive: true, force: true });
  } catch (error) {
    throw systemError(error, 'remove', place);
  }
}
