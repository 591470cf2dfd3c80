/** `cinnabar up`: in the foreground, or with --detach in the background. */
import { Command } from 'commander';
import type { FromControl } from '../../control/boot-protocol.ts';
import { isRunning } from '../commands/down.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { makeFolders } from '../folders.ts';
import { version } from '../self.ts';
import { tellReady } from '../service/notify.ts';
import { goesOn, INNER, launch, reportToLauncher } from './detach.ts';
import { found } from './found.ts';
import type { UpFlags } from './options.ts';
import { startOptions } from './options.ts';
import { runParent } from './parent.ts';
import { quickstart } from './quickstart.ts';
import { render } from './render.ts';

const collect = (value: string, all: readonly string[] = []): readonly string[] => [...all, value];

export function upCommand(): Command {
  return new Command('up')
    .summary('start Cinnabar')
    .description(
      'Starts Cinnabar on the data folder, in the foreground: Ctrl-C stops it in order and keeps the data. ' +
        'Nothing listens beyond this machine unless --listen says so.',
    )
    .option('-d, --detach', 'in the background; stop it with: cinnabar down')
    .option('--quickstart', 'on the first start ever, make a cache named quickstart')
    .option('--listen <address>', 'also listen on this address (repeatable)', collect)
    .option('--domain <name>', 'caches are <name>.<location>.<domain>; it must resolve')
    .option('--engine <file>', 'use this valkey-server or redis-server')
    .option(
      '--api-port <port>',
      'management API over HTTP on loopback, also at later starts (0: any free one, this time)',
    )
    .option(
      '--https-port <port>',
      'management API over HTTPS, also at later starts (0: any free one, this time)',
    )
    .option('--workers <n>', 'endpoint workers (default: one a core)')
    .option('--miniature <d[/s]>', 'divide the memory of each SKU by d, at most s shards')
    .addHelpText(
      'after',
      `
Examples:
  cinnabar up --quickstart           first cache in a minute
  cinnabar up --detach               in the background
  cinnabar up --miniature 256/3      a Balanced_B1000 on a laptop
  cinnabar up --listen 0.0.0.0 --domain caches.example.org`,
    )
    .action(
      action(async (context: Context, flags: UpFlags) => {
        const options = startOptions(flags, context.folders);
        makeFolders(context.folders);
        if (flags.detach === true && context.env[INNER] === undefined) {
          const { detach: _, quickstart: __, ...wanted } = flags;
          if (isRunning(context.folders)) await goesOn(context, Object.keys(wanted));
          else process.exitCode = await launch(context);
          return;
        }
        const inner = context.env[INNER] !== undefined;
        const { output } = context;
        if (!inner) output.note(`Cinnabar ${version()}\n`);
        const report = inner
          ? reportToLauncher()
          : render(output, (ready) => {
              tellReady();
              welcome(context, flags, ready).catch((error: unknown) => {
                output.error(output.unexpected(error));
              });
            });
        const code = await runParent({ start: options, ignoreHangup: inner, report });
        report.ended(code);
        process.exitCode = code;
      }),
    );
}

async function welcome(
  context: Context,
  flags: UpFlags,
  ready: Extract<FromControl, { type: 'ready' }>,
): Promise<void> {
  for (const warning of ready.status.warnings) context.output.warn(warning);
  if (flags.quickstart === true) {
    await quickstart(context, ready);
    return;
  }
  await found(context);
}
