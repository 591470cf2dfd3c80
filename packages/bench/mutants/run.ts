/** Plants one mistake at a time in a copy of the tree, and sees whether a test notices. */
import { type ChildProcess, spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { exitOf } from '../processes.ts';
import { CHECKS, type CheckName, type Mutant } from './table.ts';

export interface Outcome {
  readonly mutant: string;
  readonly verdict: 'caught' | 'survived' | 'stale';
  /** The check that noticed, and its last words; or why it could not be planted. */
  readonly by: string;
  readonly seconds: number;
}

const ROOT = path.join(import.meta.dirname, '..', '..', '..');
/** A mistake may show as a hang. */
const CHECK_DEADLINE_MS = 150_000;
const LAST_WORDS = 200;

export class Copy {
  readonly dir: string;
  private running: ChildProcess | null = null;

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async make(): Promise<Copy> {
    const dir = await mkdtemp(path.join(tmpdir(), 'cm-'));
    const keep = (source: string): boolean => !/\/(node_modules|dist|\.git)(\/|$)/.test(source);
    await cp(path.join(ROOT, 'packages'), path.join(dir, 'packages'), {
      recursive: true,
      filter: keep,
    });
    for (const file of ['package.json', 'tsconfig.json']) {
      await cp(path.join(ROOT, file), path.join(dir, file));
    }
    await symlink(path.join(ROOT, 'node_modules'), path.join(dir, 'node_modules'));
    return new Copy(dir);
  }

  async plant(mutant: Mutant): Promise<Outcome> {
    const began = performance.now();
    const file = path.join(this.dir, mutant.file);
    const original = await readFile(file, 'utf8');
    const answer = (verdict: Outcome['verdict'], by: string): Outcome => {
      return { mutant: mutant.name, verdict, by, seconds: (performance.now() - began) / 1000 };
    };
    let text = original;
    for (const { find, replace } of mutant.edits) {
      const places = text.split(find).length - 1;
      if (places !== 1) {
        return answer('stale', `${mutant.file} holds ${JSON.stringify(find)} ${places} times`);
      }
      text = text.replace(find, () => replace);
    }
    try {
      await writeFile(file, text);
      for (const name of mutant.caughtBy) {
        const failure = await this.check(name);
        if (failure !== null) return answer('caught', `${name}: ${failure}`);
      }
      return answer('survived', mutant.caughtBy.join(', '));
    } finally {
      await writeFile(file, original);
    }
  }

  /** Null when it passes, else its last words. */
  async check(name: CheckName): Promise<string | null> {
    const args = ['--disable-warning=ExperimentalWarning', ...CHECKS[name]];
    // A group of its own: a test that hangs is ended with all it started.
    const child = spawn(process.execPath, args, {
      cwd: this.dir,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_TEST_CONTEXT: undefined },
      detached: true,
    });
    this.running = child;
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data: Buffer) => {
        said += data.toString();
      });
    }
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.end();
    }, CHECK_DEADLINE_MS);
    const code = await exitOf(child);
    clearTimeout(timer);
    this.running = null;
    if (code === 0) return null;
    return late ? `did not end within ${CHECK_DEADLINE_MS / 1000} s` : lastWords(said, code);
  }

  private end(): void {
    const pid = this.running?.pid;
    if (pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // It ended meanwhile.
    }
  }

  async remove(): Promise<void> {
    this.end();
    await rm(this.dir, { recursive: true, force: true });
  }
}

function lastWords(said: string, code: number | string): string {
  const lines = said.split('\n').map((line) => line.trim());
  const telling = lines.filter((line) => /failed at step|Error|✖|not ok/.test(line));
  return (telling[0] ?? `ended with ${code}`).slice(0, LAST_WORDS);
}
