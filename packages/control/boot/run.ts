/**
 * The control process: takes its options from its parent, says how far it is, runs until told to
 * stop. See boot-protocol.ts for the conversation.
 *
 * When its parent is killed it must not go on: the next crash would be the last one, because nobody
 * starts it again. It cannot become its own parent either. So it does what it can do at any moment
 * without harm, it ends, and leaves somebody behind who starts the next one.
 */
import { spawn } from 'node:child_process';
import { flushCompileCache } from 'node:module';
import { loadBodies } from '../api/index.ts';
import {
  EXIT_FATAL,
  EXIT_ORPHANED,
  EXIT_STOPPED,
  type FromControl,
  type StartOptions,
  type StopEnd,
  type ToControl,
} from '../boot-protocol.ts';
import type { StopWish } from '../databases/stop.ts';
import { openLog } from './log.ts';
import type { Say } from './steps.ts';
import { System } from './system.ts';
import { isUnitOver } from './unit.ts';

// Files that a library makes for us (the store's) are nobody else's to read either.
process.umask(0o077);
const log = openLog();
let system: System | null = null;
let started: Promise<void> | null = null;
let stopping = false;
let asked: StartOptions | null = null;
/** To whoever starts the next one. */
let left = false;

const say: Say = (message: FromControl) => {
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
};

async function begin(options: Extract<ToControl, { type: 'start' }>['options']): Promise<void> {
  system = new System(options, log, say, ({ save }) => void stop({ save, mayRefuse: save }));
  try {
    const { status, firstStart } = await system.start();
    say({ type: 'ready', status, firstStart });
    log.info({ pid: process.pid, http: status.api.http }, 'ready');
    await loadBodies(); // so that the first write need not
    flushCompileCache(); // one that is killed writes nothing at its end, and the next start is slow
  } catch (error) {
    if (stopping) return;
    await fatal(error);
  }
}

async function fatal(error: unknown): Promise<void> {
  const code = property(error, 'code') ?? 'start-failed';
  const message = error instanceof Error ? error.message : String(error);
  const remedy = property(error, 'remedy') ?? systemRemedy(code, property(error, 'path'));
  log.fatal({ code, stack: error instanceof Error ? error.stack : undefined }, message);
  await new Promise<void>((sent) => {
    if (!process.connected || process.send === undefined) return sent();
    process.send({ type: 'fatal', code, message, remedy }, undefined, undefined, () => sent());
  });
  process.exit(EXIT_FATAL);
}

/** For what the system refused somewhere where nobody expected it. */
function systemRemedy(code: string, path: string | null): string {
  if (code === 'ENOSPC') return 'Free some disk space, then try again: df -h';
  if (!['EACCES', 'EPERM', 'EROFS'].includes(code)) return '';
  const where = path === null ? '' : ` Look at it: ls -ld '${path}'`;
  return `Everything in the data folder must belong to the user that runs Cinnabar.${where}`;
}

/** The machine, a service manager or Ctrl-C wants it: who is refused may kill next. */
const MUST = { save: true, mayRefuse: false } as const;

async function stop(wish: StopWish): Promise<void> {
  if (stopping) {
    if (!wish.save) process.exit(EXIT_STOPPED);
    return;
  }
  stopping = true;
  say({ type: 'stopping', ...(wish.save ? { withinMs: system?.stopWithinMs() } : {}) });
  system?.hurry();
  await started?.catch(() => undefined);
  const end: StopEnd = (await system?.stop(wish)) ?? { notes: [], held: [] };
  const refused = wish.mayRefuse && end.held.length > 0;
  log[end.held.length > 0 ? 'error' : 'info'](end, refused ? 'the stop was refused' : 'stopped');
  await new Promise<void>((sent) => {
    if (!process.connected || process.send === undefined) return sent();
    const type = refused ? 'stop-refused' : 'stopped';
    process.send({ type, ...end }, undefined, undefined, () => sent());
  });
  if (!refused) process.exit(EXIT_STOPPED);
  // The parent starts the next one; without a parent, a new parent does.
  stopping = false;
  if (!process.connected && asked?.keeper !== undefined) await orphaned(asked);
  else process.exit(EXIT_ORPHANED);
}

const parentPid = process.ppid;

async function orphaned({ keeper = [], home, ...rest }: StartOptions): Promise<void> {
  const [program, ...args] = keeper;
  if (program === undefined || stopping) return;
  log.warn('the parent was killed: another control process takes over');
  const unitOver = await isUnitOver(process.env, parentPid);
  if (stopping || left) return; // the end of the stop asks the same
  left = true;
  if (unitOver) process.exit(EXIT_ORPHANED);
  const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
  const parent = spawn(program, args, { detached: true, stdio: [...stdio], cwd: home });
  // Without it the caches go on, and this process is still better than none.
  parent.once('error', (error) => log.error({ error: error.message }, 'no new parent'));
  parent.send({ ...rest, home, keeper }, (error) => {
    if (error === null) process.exit(EXIT_ORPHANED);
  });
}

function property(error: unknown, name: string): string | null {
  const value = (error as Record<string, unknown> | null)?.[name];
  return typeof value === 'string' ? value : null;
}

process.on('message', (message: ToControl) => {
  if (message.type === 'start' && started === null) {
    asked = message.options;
    process.once('disconnect', () => void orphaned(message.options));
    started = begin(message.options);
  }
  if (message.type === 'stop') void stop({ ...MUST, save: !message.now });
});
// The parent decides what Ctrl-C means; it reaches the whole group, so it is not for us to obey.
process.on('SIGINT', () => undefined);
process.on('SIGHUP', () => undefined);
process.on('SIGTERM', () => void stop(MUST));
