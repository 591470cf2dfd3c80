import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { getPriority } from 'node:os';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Children } from './children.ts';
import { CHILD_NICE } from './limits.ts';
import { refOf } from './procfs.ts';

const DEADLINE_MS = 10_000;

/** A process with a child, which may come later: on a line that it is given. */
async function parent(script: string) {
  const shell = spawn('sh', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines: number[] = [];
  shell.stdout.on('data', (data: Buffer) =>
    lines.push(...String(data).trim().split('\n').map(Number)),
  );
  await once(shell, 'spawn');
  const ref = refOf(shell.pid ?? 0);
  assert.ok(ref !== null);
  return {
    ref,
    child: async (): Promise<number> => {
      const end = performance.now() + DEADLINE_MS;
      while (lines.length === 0 && performance.now() < end) await sleep(5);
      return lines[0] ?? assert.fail('it has no child');
    },
    go: () => shell.stdin.write('\n'),
    end: async () => {
      shell.kill('SIGKILL');
      await once(shell, 'close');
    },
  };
}

async function becomes(pid: number, nice: number): Promise<void> {
  const end = performance.now() + DEADLINE_MS;
  while (getPriority(pid) !== nice) {
    assert.ok(performance.now() < end, `${pid} has ${getPriority(pid)}, not ${nice}`);
    await sleep(5);
  }
}

const CHILD = 'sleep 60 >/dev/null & echo $!; wait';

test('a child that is there gives way, its parent keeps its priority', async () => {
  const one = await parent(CHILD);
  const child = await one.child();
  const before = getPriority(one.ref.pid);
  new Children().ease(one.ref, DEADLINE_MS);
  await becomes(child, before + CHILD_NICE);
  assert.equal(getPriority(one.ref.pid), before);
  process.kill(child, 'SIGKILL');
  await one.end();
});

test('so does one that comes while a copy is due; none of a process whose time is over', async () => {
  const [due, over] = await Promise.all([parent(`read _; ${CHILD}`), parent(`read _; ${CHILD}`)]);
  const before = getPriority(over.ref.pid);
  const children = new Children();
  children.ease(over.ref, 0);
  children.ease(due.ref, DEADLINE_MS);
  over.go();
  const spared = await over.child();
  due.go();
  const eased = await due.child();
  await becomes(eased, before + CHILD_NICE);
  assert.equal(getPriority(spared), before);
  for (const pid of [spared, eased]) process.kill(pid, 'SIGKILL');
  await Promise.all([due.end(), over.end()]);
});

test('nobody else is touched: another process with this pid, or one that has ended', async () => {
  const [one, other] = await Promise.all([parent(CHILD), parent(CHILD)]);
  const [spared, eased] = await Promise.all([one.child(), other.child()]);
  const before = getPriority(spared);
  const children = new Children();
  children.ease({ ...one.ref, startTicks: one.ref.startTicks - 1 }, DEADLINE_MS);
  children.ease(other.ref, DEADLINE_MS);
  await becomes(eased, before + CHILD_NICE);
  assert.equal(getPriority(spared), before);
  for (const pid of [spared, eased]) process.kill(pid, 'SIGKILL');
  await Promise.all([one.end(), other.end()]);
  children.ease(other.ref, DEADLINE_MS);
});
