import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { ProcessRef } from './contract.ts';
import { LIGHT_NICE } from './limits.ts';
import { refOf } from './procfs.ts';
import { eventually } from './testing.ts';
import { Weights } from './weights.ts';

const DEADLINE_MS = 10_000;
/** What a light session shows: without autogroups there is nothing to be seen, and nothing to be changed. */
const LIGHT = existsSync('/proc/self/autogroup') ? LIGHT_NICE : null;
const FULL = LIGHT === null ? null : 0;

interface Sleeper {
  readonly ref: ProcessRef;
  nice(): number | null;
  is(nice: number | null): Promise<void>;
  end(): Promise<void>;
}

/** Each in a session of its own, as engines are; or in ours. */
async function sleeper(own = true): Promise<Sleeper> {
  const child: ChildProcess = spawn('sleep', ['60'], { stdio: 'ignore', detached: own });
  await once(child, 'spawn');
  const ref = refOf(child.pid ?? 0);
  assert.ok(ref !== null);
  const nice = (): number | null => niceOf(ref.pid);
  return {
    ref,
    nice,
    is: async (wanted) =>
      void (await eventually(`nice ${wanted}`, () => nice() === wanted, DEADLINE_MS)),
    end: async () => {
      const closed = once(child, 'close');
      child.kill('SIGKILL');
      await closed;
    },
  };
}

function niceOf(pid: number): number | null {
  if (LIGHT === null) return null;
  const text = readFileSync(`/proc/${pid}/autogroup`, 'latin1');
  return Number(/ nice (-?\d+)/.exec(text)?.[1]);
}

test('a session is made light and full again, whatever others write at the same time', async () => {
  const all = await Promise.all([sleeper(), sleeper(), sleeper()]);
  const weights = new Weights();
  for (const { ref } of all) weights.set(ref, 'light');
  await Promise.all(all.map((each) => each.is(LIGHT)));
  for (const { ref } of all) weights.set(ref, 'full');
  await Promise.all(all.map((each) => each.is(FULL)));
  await Promise.all(all.map((each) => each.end()));
});

test('who is to be full again is so before another becomes light', async () => {
  const [first, second, third] = await Promise.all([sleeper(), sleeper(), sleeper()]);
  const weights = new Weights();
  weights.set(first.ref, 'light');
  await first.is(LIGHT);
  weights.set(second.ref, 'light');
  weights.set(third.ref, 'light');
  weights.set(first.ref, 'full');
  await third.is(LIGHT);
  assert.equal(first.nice(), FULL);
  await Promise.all([first, second, third].map((each) => each.end()));
});

test('somebody else finds a session light and makes it full', async () => {
  const one = await sleeper();
  new Weights().set(one.ref, 'light');
  await one.is(LIGHT);
  new Weights().set(one.ref, 'full');
  await one.is(FULL);
  await one.end();
});

test('nobody else is touched: no other process with this pid, and no session that is not its own', async () => {
  const [one, shared] = await Promise.all([sleeper(), sleeper(false)]);
  const ours = niceOf(process.pid);
  const weights = new Weights();
  weights.set({ ...one.ref, startTicks: one.ref.startTicks - 1 }, 'light');
  weights.set(shared.ref, 'light');
  const other = await sleeper();
  weights.set(other.ref, 'light');
  await other.is(LIGHT);
  assert.deepEqual([one.nice(), shared.nice()], [FULL, ours]);
  await Promise.all([one, shared, other].map((each) => each.end()));
  weights.set(other.ref, 'full');
});
