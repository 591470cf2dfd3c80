import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { SAME_SIGNAL_MS } from '../limits.ts';
import { isAlive } from '../orphans.ts';
import { moduleFile } from '../self.ts';

const homes: string[] = [];
after(() => {
  for (const home of homes) rmSync(home, { recursive: true, force: true });
});

class Run {
  readonly home: string;
  readonly child: ChildProcess;
  out = '';
  err = '';
  readonly ended: Promise<number | null>;

  constructor(mode: string, args: readonly string[] = []) {
    this.home = mkdtempSync(path.join(tmpdir(), 'parent-'));
    homes.push(this.home);
    this.child = spawn(
      process.execPath,
      [moduleFile('cli/up/testing/run-parent'), this.home, ...args],
      { env: { ...process.env, FAKE_CONTROL: mode }, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.child.stdout?.on('data', (chunk) => {
      this.out += String(chunk);
    });
    this.child.stderr?.on('data', (chunk) => {
      this.err += String(chunk);
    });
    this.ended = once(this.child, 'close').then(([code]) => code as number | null);
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + 20_000;
    while (!condition()) {
      if (Date.now() > deadline) assert.fail(`${what}: ${this.out}${this.err}${this.diary()}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  ready(): Promise<void> {
    return this.until(() => this.out.includes('READY'), 'not ready');
  }

  diary(): string {
    try {
      return readFileSync(path.join(this.home, 'diary'), 'utf8');
    } catch {
      return '';
    }
  }

  pids(): number[] {
    return [...this.diary().matchAll(/start (\d+)/g)].map((match) => Number(match[1]));
  }
}

test('SIGINT and SIGTERM stop in order; the notes are shown and the log is private', async () => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const run = new Run('serve');
    await run.ready();
    run.child.kill(signal);
    assert.equal(await run.ended, 0, signal);
    assert.match(run.err, /Engine.*valkey 9/);
    assert.match(run.err, /All saved\./);
    assert.match(run.diary(), /stop order\n$/);
    const log = path.join(run.home, 'logs/control.log');
    assert.match(readFileSync(log, 'utf8'), /hello from the child/);
    assert.equal(statSync(log).mode & 0o777, 0o600);
  }
});

test('a stop that leaves a cache running says so, and is no success', async () => {
  const run = new Run('full');
  await run.ready();
  run.child.kill('SIGTERM');
  assert.equal(await run.ended, 1);
  assert.match(run.err, /c1 was not stopped: no room\..*cinnabar down --now/s);
  assert.doesNotMatch(run.err, /^Stopped\.$/m);
});

test('a hangup is ignored when detached', async () => {
  const run = new Run('serve', ['--ignore-hangup']);
  await run.ready();
  run.child.kill('SIGHUP');
  run.child.kill('SIGTERM');
  assert.equal(await run.ended, 0);
  assert.equal(run.diary().match(/stop/g)?.length, 1);
});

test('a crashed control process comes back, and can be stopped then', async () => {
  const run = new Run('crash-once');
  await run.until(() => run.pids().length === 2 && run.err.includes('is back'), 'not restarted');
  assert.match(run.err, /was killed; caches go on/);
  run.child.kill('SIGINT');
  assert.equal(await run.ended, 0);
});

test('one that the system does not start is tried again until it does', async () => {
  const run = new Run('serve');
  await run.ready();
  const [pid = 0] = run.pids();
  rmSync(run.home, { recursive: true }); // where it is to be started: a disk that is away
  process.kill(pid, 'SIGKILL');
  await run.until(() => run.err.includes('could not be started'), 'no failed start');
  mkdirSync(run.home);
  await run.until(() => run.err.includes('is back'), 'not restarted');
  run.child.kill('SIGINT');
  assert.equal(await run.ended, 0);
});

test('a control process that is stopped is ended, and comes back', async () => {
  const run = new Run('serve');
  await run.ready();
  const [pid = 0] = run.pids();
  process.kill(pid, 'SIGSTOP');
  await run.until(() => run.pids().length === 2 && run.err.includes('is back'), 'not replaced');
  assert.match(run.err, new RegExp(`control process ${pid} was stopped and does not answer`));
  assert.equal(isAlive(pid), false);
  run.child.kill('SIGINT');
  assert.equal(await run.ended, 0);
});

test('a fatal error ends it with its own code, said with what to do', async () => {
  const run = new Run('fatal');
  assert.equal(await run.ended, 78);
  assert.match(run.err, /Another one runs here\. \(home-in-use\)\n {2}Stop it\./);
  assert.equal(run.pids().length, 1);
});

test('one that always crashes is given up', async () => {
  const run = new Run('crash-always');
  assert.equal(await run.ended, 78);
  assert.match(run.err, /control-keeps-crashing/);
});

test('double Ctrl-C is one; a later one ends even a control process that hangs', async () => {
  const run = new Run('hang');
  await run.ready();
  const first = Date.now();
  run.child.kill('SIGINT');
  run.child.kill('SIGINT');
  await run.until(() => run.diary().includes('stop order'), 'no stop');
  await run.until(() => Date.now() - first > SAME_SIGNAL_MS + 50, 'time');
  assert.equal(run.diary().match(/stop/g)?.length, 1);
  run.child.kill('SIGINT');
  await run.until(() => run.diary().includes('stop now'), 'no stop at once');
  assert.equal(await run.ended, 1);
  assert.match(run.err, /before everything was stopped/);
  assert.ok(run.pids().every((pid) => !isAlive(pid)));
});
