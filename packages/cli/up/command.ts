/** `cinnabar up`: in the foreground, or with --detach in the background. */
import { Command } from 'commander';
import type { FromControl, StartOptions } from '../../control/boot-protocol.ts';
import { isRunning } from '../commands/down.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { makeFolders } from '../folders.ts';
import { UNIT_STOP_MS } from '../limits.ts';
import { version } from '../self.ts';
import { askForTime, tellReady } from '../service/notify.ts';
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
    .option(
      '--miniature <d[/s]>',
      'divide the memory of each SKU by d, at most s shards, also at later starts; off: no more',
    )
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
          const { detach: _, quickstart: first = false, ...wanted } = flags;
          if (isRunning(context.folders)) await goesOn(context, Object.keys(wanted), first);
          else process.exitCode = await launch(context);
          return;
        }
        if (context.env[INNER] !== undefined) {
          const report = reportToLauncher();
          const code = await runParent({ start: options, ignoreHangup: true, report });
          report.ended(code);
          process.exitCode = code;
          return;
        }
        context.output.note(`Cinnabar ${version()}\n`);
        process.exitCode = await inForeground(context, flags, options);
      }),
    );
}

/** Whatever the welcome still waits for ends when the stop begins; so does this process then. */
async function inForeground(
  context: Context,
  flags: UpFlags,
  start: StartOptions,
): Promise<number> {
  const { output } = context;
  const over = new AbortController();
  let welcomed = false;
  let byHand = false;
  const onInterrupt = (): void => {
    byHand = true;
  };
  process.on('SIGINT', onInterrupt);
  const report = render(
    output,
    (ready) => {
      // A start that was interrupted is brought to its end before the stop.
      if (over.signal.aborted) return;
      tellReady();
      welcome(context, flags, ready, over.signal).then(
        () => {
          welcomed = true;
        },
        (error: unknown) => {
          if (over.signal.aborted) return;
          welcomed = true;
          output.error(output.unexpected(error));
        },
      );
    },
    (withinMs) => {
      if (withinMs !== undefined && withinMs > UNIT_STOP_MS) askForTime(withinMs);
      over.abort();
    },
  );
  const code = await runParent({ start, ignoreHangup: false, report });
  process.off('SIGINT', onInterrupt);
  report.ended(code);
  return code === EXIT.ok && byHand && !welcomed ? EXIT.interrupted : code;
}

async function welcome(
  context: Context,
  flags: UpFlags,
  ready: Extract<FromControl, { type: 'ready' }>,
  signal: AbortSignal,
): Promise<void> {
  for (const warning of ready.status.warnings) context.output.warn(warning);
  if (flags.quickstart === true) {
    await quickstart(context, ready, signal);
    return;
  }
  await found(context);
}
