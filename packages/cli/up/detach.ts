/**
 * `cinnabar up --detach`: the same parent in a session of its own. The launcher stays until it is
 * ready (or has failed), showing the steps that the parent passes on over their channel.
 *
 * A background parent knows no secret to print: connection strings belong on a foreground's standard
 * output only.
 */
import { spawn } from 'node:child_process';
import type { FromControl } from '../../control/boot-protocol.ts';
import type { Context } from '../context.ts';
import { CliError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { found } from './found.ts';
import { openControlLog } from './log.ts';
import { makeQuickstart, tellHowToConnect, tellQuickstart } from './quickstart.ts';
import type { Rendered } from './render.ts';
import { render } from './render.ts';

/** Set for the parent in the background. */
export const INNER = 'CINNABAR_DETACHED_PARENT';

type ToLauncher = FromControl | { readonly type: 'gave-up'; readonly logFile: string };

export async function launch(context: Context): Promise<number> {
  const log = openControlLog(context.folders.home);
  const child = spawn(
    process.execPath,
    [...process.execArgv, process.argv[1] ?? '', ...process.argv.slice(2)],
    {
      detached: true,
      stdio: ['ignore', log.fd, log.fd, 'ipc'],
      cwd: context.folders.home,
      env: { ...process.env, [INNER]: '1', CINNABAR_HOME: context.folders.home },
    },
  );
  const { promise, resolve } = Promise.withResolvers<number>();
  const over = new AbortController();
  const report = render(context.output, (ready) => {
    if (over.signal.aborted) return;
    for (const warning of ready.status.warnings) context.output.warn(warning);
    const told = process.argv.includes('--quickstart')
      ? makeQuickstart(context, ready, over.signal).then((cache) =>
          tellHowToConnect(context, cache),
        )
      : found(context);
    told.then(
      () => resolve(EXIT.ok),
      (error: unknown) => {
        if (over.signal.aborted) return; // its end says it
        context.output.error(context.output.unexpected(error));
        resolve(EXIT.failed);
      },
    );
  });
  child.on('message', (message: ToLauncher) => {
    if (message.type === 'gave-up') report.gaveUp(message.logFile);
    else report.message(message);
  });
  let byHand = false;
  child.once('exit', (code) => {
    over.abort();
    resolve(byHand && code === EXIT.ok ? EXIT.interrupted : (code ?? EXIT.failed));
  });
  // Ctrl-C while it boots: nothing is left behind.
  const interrupted = (signal: NodeJS.Signals): void => {
    byHand ||= signal === 'SIGINT';
    over.abort();
    child.kill('SIGTERM');
  };
  process.on('SIGINT', interrupted);
  process.on('SIGTERM', interrupted);
  const code = await promise;
  process.off('SIGINT', interrupted);
  process.off('SIGTERM', interrupted);
  if (child.connected) child.disconnect();
  child.unref();
  log.close();
  if (code === EXIT.ok && child.exitCode === null) {
    context.output.note(`Runs in the background. Stop it: cinnabar down`);
  }
  return code;
}

/** Asked for what is so already: no mistake, unless it should run in another way. */
export async function goesOn(
  context: Context,
  wanted: readonly string[],
  quickstart: boolean,
): Promise<void> {
  if (wanted.length > 0) {
    throw new CliError(
      'conflict',
      'running',
      `Cinnabar runs on ${context.folders.home} already; options are for its start.`,
      `Stop it first: cinnabar down   (clients wait meanwhile)`,
    );
  }
  context.output.note(`Cinnabar runs already. Stop it: cinnabar down`);
  await found(context);
  if (quickstart) await tellQuickstart(context);
}

/** The report of the parent in the background: to the launcher while it listens, and to the log. */
export function reportToLauncher(): Rendered {
  // Its last words are in a file: a full disk must not end it.
  process.stderr.on('error', () => undefined);
  const tell = (message: ToLauncher): void => {
    if (process.connected !== true || process.send === undefined) return;
    process.send(message, undefined, undefined, (error) => {
      // The launcher has left: then nobody waits for this.
      if (error !== null) process.disconnect?.();
    });
  };
  return {
    message(message) {
      tell(message);
      if (message.type !== 'stopped' && message.type !== 'stop-refused') return;
      for (const line of [...message.notes, ...message.held]) process.stderr.write(`${line}\n`);
    },
    crashed(code, pauseMs) {
      process.stderr.write(`parent: control ended (${code}); starting it in ${pauseMs} ms\n`);
    },
    gaveUp: (logFile) => tell({ type: 'gave-up', logFile }),
    hung(pid) {
      process.stderr.write(`parent: control process ${pid} does not answer\n`);
    },
    unclean() {
      process.stderr.write('parent: control ended before everything was stopped\n');
    },
    ended(code) {
      process.stderr.write(`parent: ended with code ${code}\n`);
    },
  };
}
