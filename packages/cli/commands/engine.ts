/** `cinnabar engine list` and `engine install`. */
import { Command } from 'commander';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { engineAtHand, fetchedEngines, provide } from '../engines.ts';
import { makePrivate } from '../folders.ts';
import { Steps } from '../output/steps.ts';
import { bytes } from '../output/text.ts';

export function engineCommand(): Command {
  const engine = new Command('engine').summary('the Valkey that caches run on');
  engine
    .command('list')
    .summary('engines that were fetched, and the one in use')
    .addHelpText('after', '\nExamples:\n  cinnabar engine list\n  cinnabar engine list --json')
    .action(
      action(async (context: Context) => {
        const { output, folders } = context;
        const fetched = await fetchedEngines(folders.engineCache);
        const used = await engineAtHand(folders.engineCache);
        output.rows(
          fetched,
          [
            { title: 'PACKAGES', value: (e) => e.packages, shrinkTo: 20 },
            { title: 'SUITE', value: (e) => e.suite },
            { title: 'FETCHED', value: (e) => e.madeAt.slice(0, 10) },
            { title: 'SIZE', value: (e) => bytes(e.bytes), align: 'right' },
          ],
          'No engine was fetched.',
          { inUse: used?.build ?? null, fetched },
        );
        if (output.json) return;
        output.line();
        output.line(
          used === null
            ? output.typed(
                'None at hand: the next start fetches one, or type: cinnabar engine install',
              )
            : `In use: ${used.build.name} ${used.build.version} (${used.build.origin})`,
        );
      }),
    );
  engine
    .command('install')
    .summary('find an engine, or fetch one from Debian without root')
    .option('--refresh', 'fetch the newest even if one is there')
    .addHelpText(
      'after',
      '\nExamples:\n  cinnabar engine install\n  cinnabar engine install --refresh',
    )
    .action(
      action(async (context: Context, flags: { refresh?: boolean }) => {
        const { output, folders } = context;
        makePrivate(folders.engineCache);
        const steps = new Steps(output);
        const started = performance.now();
        try {
          const found = await provide({
            cacheDir: folders.engineCache,
            refresh: flags.refresh === true,
            onProgress: ({ step, detail }) =>
              steps.show({ id: step, title: 'Engine', state: 'running', detail }),
          });
          const { name, version, origin, sha256 } = found.build;
          steps.show({
            id: 'installed',
            title: 'Engine',
            state: 'done',
            detail: `${name} ${version} (${origin})`,
            ms: performance.now() - started,
          });
          if (output.json) output.data(found.build);
          else output.line(`${name} ${version}  sha256 ${sha256.slice(0, 16)}...`);
        } finally {
          steps.end();
        }
      }),
    );
  return engine;
}
