/**
 * The parent of the control process: starts it, tells it the options, passes on what it reports,
 * starts it again when it crashes, and stops it when it is told to. What to do when is decided in
 * lifecycle.ts; this file only does it.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import {
  CONTROL_FLAGS,
  EXIT_FATAL,
  type FromControl,
  type StartOptions,
  type ToControl,
  UNDER_WAY,
} from '../../control/boot-protocol.ts';
import { isStopped } from '../api/stopped.ts';
import { codeCache } from '../code-cache.ts';
import { EXIT } from '../exit-codes.ts';
import { HUNG_LOOK_MS, HUNG_LOOKS, STOP_NOW_GRACE_MS } from '../limits.ts';
import { build, moduleFile } from '../self.ts';
import type { Act, EndCode, Happening, Life } from './lifecycle.ts';
import { begin, next } from './lifecycle.ts';
import type { ControlLog } from './log.ts';
import { openControlLog } from './log.ts';

export interface ParentReport {
  message(message: FromControl): void;
  /** Control crashed and will be started again after the pause. */
  crashed(code: EndCode, pauseMs: number, logFile: string): void;
  gaveUp(logFile: string): void;
  /** It was stopped, by a signal, and is ended. */
  hung(pid: number): void;
  /** It ended before it had stopped everything. */
  unclean(): void;
}

export interface ParentOptions {
  readonly start: StartOptions;
  /** In the background a closed terminal means nothing; in the foreground it means stop. */
  readonly ignoreHangup: boolean;
  readonly report: ParentReport;
  /** Stops in order, as a signal does. */
  readonly stop?: AbortSignal;
  /** The program to run; for tests. Absent: the control process. */
  readonly program?: string;
}

/** Runs until control is stopped for good; answers the exit code. */
export async function runParent(options: ParentOptions): Promise<number> {
  const log = openControlLog(options.start.home);
  const parent = new Parent(options, log);
  try {
    return await parent.run();
  } finally {
    log.close();
  }
}

class Parent {
  readonly #options: ParentOptions;
  readonly #log: ControlLog;
  readonly #done = Promise.withResolvers<number>();
  #life: Life;
  #child: ChildProcess | null = null;
  #stopped = false;
  /** Its stop left caches running that could not be saved. */
  #held = false;
  /** Why it cannot start, as it said itself. */
  #fatal: string | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** How often in a row control was found stopped. */
  #still = 0;

  constructor(options: ParentOptions, log: ControlLog) {
    this.#options = options;
    this.#log = log;
    this.#life = begin(performance.now()).life;
  }

  async run(): Promise<number> {
    const onSignal = (): void => this.#happened({ type: 'signal' });
    const onHangup = this.#options.ignoreHangup ? (): void => {} : onSignal;
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
    process.on('SIGHUP', onHangup);
    this.#options.stop?.addEventListener('abort', onSignal);
    const looking = setInterval(() => this.#look(), HUNG_LOOK_MS);
    try {
      this.#do(begin(performance.now()).acts);
      if (this.#options.stop?.aborted === true) onSignal();
      return await this.#done.promise;
    } finally {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
      process.off('SIGHUP', onHangup);
      this.#options.stop?.removeEventListener('abort', onSignal);
      clearInterval(looking);
      if (this.#timer !== null) clearTimeout(this.#timer);
    }
  }

  #happened(happening: Happening): void {
    const { life, acts } = next(this.#life, happening, performance.now());
    this.#life = life;
    this.#do(acts);
  }

  #do(acts: readonly Act[]): void {
    const report = this.#options.report;
    for (const act of acts) {
      switch (act.act) {
        case 'spawn':
          this.#spawn();
          break;
        case 'pause':
          this.#timer = setTimeout(() => this.#happened({ type: 'pause-over' }), act.ms);
          break;
        case 'stop':
          this.#tell({ type: 'stop', now: act.now });
          break;
        case 'kill-later':
          this.#timer = setTimeout(() => this.#child?.kill('SIGKILL'), STOP_NOW_GRACE_MS);
          break;
        case 'say-crashed':
          report.crashed(act.code, act.pauseMs, this.#log.file);
          break;
        case 'say-gave-up':
          report.gaveUp(this.#log.file);
          break;
        case 'exit':
          if (act.how === 'unclean') report.unclean();
          this.#done.resolve(
            act.how === 'fatal' && this.#fatal === UNDER_WAY ? EXIT.underWay : CODES[act.how],
          );
          break;
      }
    }
  }

  #spawn(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#stopped = false;
    this.#held = false;
    this.#fatal = null;
    // Its own session: a Ctrl-C in the terminal must reach it as one order, not as a signal.
    const child = spawn(
      process.execPath,
      [...NODE_FLAGS, ...CONTROL_FLAGS, this.#options.program ?? moduleFile('control/boot/run')],
      {
        detached: true,
        stdio: ['ignore', this.#log.fd, this.#log.fd, 'ipc'],
        cwd: this.#options.start.home,
        env: { ...process.env, ...codeCache(process.env) },
      },
    );
    this.#child = child;
    child.on('message', (message: FromControl) => this.#heard(message));
    // A channel that breaks is followed by the exit, which decides; one that never ran has no exit.
    child.on('error', (error) => {
      this.#log.write(`parent: control process: ${error.message}\n`);
      if (child.pid === undefined) this.#left(child, 'not-started');
    });
    child.once('exit', (code) => {
      // Its last messages may still be in the channel: they say whether this end was meant.
      if (child.connected) child.once('disconnect', () => this.#left(child, code));
      else this.#left(child, code);
    });
    if (child.pid === undefined) return;
    const keeper = [process.execPath, ...NODE_FLAGS, moduleFile('cli/up/keeper')];
    this.#tell({ type: 'start', options: { ...this.#options.start, keeper, build: build() } });
  }

  /** A control process that stands still decides nothing: dead, it would be followed by another. */
  #look(): void {
    const pid = this.#child?.pid;
    this.#still = pid !== undefined && isStopped(pid) ? this.#still + 1 : 0;
    if (pid === undefined || this.#still !== HUNG_LOOKS) return;
    this.#options.report.hung(pid);
    this.#log.write(`parent: control process ${pid} was stopped and does nothing: killed\n`);
    this.#child?.kill('SIGKILL');
  }

  #left(child: ChildProcess, code: EndCode): void {
    if (this.#child !== child) return;
    this.#child = null;
    if (code === EXIT_FATAL && this.#fatal === null && this.#life.phase === 'booting')
      this.#happened(FATAL);
    this.#happened({ type: 'exit', code, stopped: this.#stopped, held: this.#held });
  }

  #heard(message: FromControl): void {
    this.#options.report.message(message);
    if (message.type === 'ready') this.#happened({ type: 'ready' });
    else if (message.type === 'fatal') {
      this.#fatal = message.code;
      this.#happened({ type: 'fatal', passing: PASSING.has(message.code) });
    } else if (message.type === 'stopping') this.#happened({ type: 'stopping' });
    else if (message.type === 'stop-refused') this.#happened({ type: 'stop-refused' });
    else if (message.type === 'stopped') {
      this.#stopped = true;
      this.#held = message.held.length > 0;
    }
  }

  #tell(message: ToControl): void {
    const child = this.#child;
    if (child?.connected !== true) return;
    // Fails only when the process is dying; its exit is handled.
    child.send(message, (error) => {
      if (error !== null) this.#log.write(`parent: ${message.type} not sent: ${error.message}\n`);
    });
  }
}

/** Reasons not to start that may end by themselves. */
const PASSING: ReadonlySet<string> = new Set(['DiskFull', 'ENOSPC', 'home-not-writable']);
const FATAL = { type: 'fatal', passing: false } as const;

/** `node:sqlite` announces itself as experimental; that line is of no use in a log. */
const NODE_FLAGS = ['--disable-warning=ExperimentalWarning'];

const CODES = {
  stopped: EXIT.ok,
  held: EXIT.failed,
  fatal: EXIT.cannotStart,
  'gave-up': EXIT.cannotStart,
  unclean: EXIT.failed,
} as const;
