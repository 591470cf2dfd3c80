/** A home of its own for the command line, and `cinnabar up` in the foreground of a test. */
import type { ChildProcess } from 'node:child_process';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import type { ControlFile } from '../../control/boot-protocol.ts';
import { killAll } from '../ending.ts';
import { foldersFrom } from '../folders.ts';
import { moduleFile } from '../self.ts';

const DEADLINE_MS = 30_000;
const POLL_MS = 15;

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export class Rig {
  readonly scratch = mkdtempSync(path.join(tmpdir(), 'c-'));
  readonly home = path.join(this.scratch, 'home');
  readonly env: NodeJS.ProcessEnv = {
    PATH: process.env['PATH'],
    HOME: process.env['HOME'] ?? homedir(),
    XDG_CACHE_HOME: process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'),
    XDG_RUNTIME_DIR: path.join(this.scratch, 'r'),
    CINNABAR_HOME: this.home,
    NO_COLOR: '1',
    NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
  };

  readonly #started: Started[] = [];

  constructor() {
    mkdirSync(path.join(this.scratch, 'r'));
  }

  run(...args: readonly string[]): Promise<Ran> {
    const { promise, resolve } = Promise.withResolvers<Ran>();
    execFile(
      process.execPath,
      [moduleFile('cli/main'), ...args],
      { env: this.env },
      (error, out, err) => resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
    return promise;
  }

  async json<T>(...args: readonly string[]): Promise<T> {
    const { code, out, err } = await this.run(...args, '--json');
    if (code !== 0) throw new Error(`${args.join(' ')}: ${code} ${err}`);
    return JSON.parse(out) as T;
  }

  up(...args: readonly string[]): Started {
    const own = ['--api-port', '0', '--https-port', '0', '--workers', '1'];
    return this.#start('up', ...own, ...args);
  }

  down(): Started {
    return this.#start('down');
  }

  #start(...args: readonly string[]): Started {
    const started = new Started(this, args);
    this.#started.push(started);
    return started;
  }

  control(): ControlFile {
    return JSON.parse(readFileSync(path.join(this.home, 'control.json'), 'utf8')) as ControlFile;
  }

  /** Whatever a failed test left. */
  async clean(): Promise<void> {
    for (const { child } of this.#started) child.kill('SIGKILL');
    await killAll(foldersFrom(this.env));
    rmSync(this.scratch, { recursive: true, force: true });
  }
}

/** A command that is looked at while it runs. */
export class Started {
  out = '';
  err = '';
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;

  constructor(rig: Rig, args: readonly string[]) {
    this.child = spawn(process.execPath, [moduleFile('cli/main'), ...args], {
      env: rig.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.on('data', (chunk) => {
      this.out += String(chunk);
    });
    this.child.stderr?.on('data', (chunk) => {
      this.err += String(chunk);
    });
    this.ended = once(this.child, 'close').then(([code]) => code as number | null);
  }

  /** Waits until what it wrote contains the text. */
  async says(text: string | RegExp): Promise<void> {
    await until(
      () => {
        const all = this.out + this.err;
        return typeof text === 'string' ? all.includes(text) : text.test(all);
      },
      () => `'${text}' was not said:\n${this.out}${this.err}`,
    );
  }

  async stop(signal: NodeJS.Signals = 'SIGINT'): Promise<number | null> {
    this.child.kill(signal);
    return this.ended;
  }
}

export async function until(condition: () => boolean, otherwise: () => string): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(otherwise());
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
