import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import type { View } from '../plan/model.ts';
import type { InstanceRecord } from '../store/index.ts';
import { type World, world } from './testing.ts';
import { weights } from './weigh-engines.ts';

const HEAL_MS = 30_000;
const COMMAND_MS = 2_000;
const LONG_S = 3_600;

interface Change {
  readonly phase?: 'new' | 'serving' | 'switching' | 'promoting' | 'down';
  readonly primary?: 'gone' | 'dead' | 'leaving' | null;
  readonly replica?: 'planned' | 'dead' | 'leaving';
  readonly synced?: boolean;
  /** It runs. */
  readonly process?: false;
}

/** Pids of those that give way: 1 is the primary's, 2 that of a replica, 3 that of another one in sync. */
function light({ phase = 'serving', synced = false, ...change }: Change): number[] {
  const p = change.primary;
  const of = (id: string, pid: number, more: object) => {
    return {
      id,
      shard: 0,
      phase: 'running',
      synced: true,
      process: { pid, startTicks: 1 },
      ...more,
    };
  };
  const view = {
    shards: [{ index: 0, phase, primary: p === null ? null : 'p' }],
    instances: [
      of('p', 1, { phase: p === 'dead' || p === 'leaving' ? p : 'running' }),
      of('r', 2, {
        phase: change.replica ?? 'running',
        synced,
        ...(change.process === false ? { process: null } : {}),
      }),
      of('s', 3, {}),
    ],
    seen: new Map([['p', { process: p === 'gone' ? 'gone' : 'running' }]]),
  } as unknown as View;
  const all = weights(view);
  assert.equal(all.length, change.process === false ? 2 : 3, 'each that runs has a weight');
  return all.filter(({ weight }) => weight === 'light').map(({ process }) => process.pid);
}

test('a replica gives way until it has a whole copy, and nobody else does', () => {
  assert.deepEqual(light({}), [2]);
  assert.deepEqual(light({ synced: true }), []);
  assert.deepEqual(light({ process: false }), []);
});

test('nobody does who may be the next primary, or may hold the last copy', () => {
  for (const primary of ['gone', 'dead', 'leaving', null] as const) {
    assert.deepEqual(light({ primary }), [], String(primary));
  }
  for (const phase of ['new', 'switching', 'promoting', 'down'] as const) {
    assert.deepEqual(light({ phase }), [], phase);
  }
  for (const replica of ['leaving', 'dead', 'planned'] as const) {
    assert.deepEqual(light({ replica }), [], replica);
  }
});

/** As the kernel has it; null: it knows no such thing, or nothing of this session. */
function niceOf(instance: InstanceRecord | undefined): number | null {
  try {
    const text = readFileSync(`/proc/${instance?.process?.pid ?? 0}/autogroup`, 'latin1');
    const nice = / nice (-?\d+)/.exec(text)?.[1];
    return nice === undefined ? null : Number(nice);
  } catch {
    return null;
  }
}
/** Where the kernel knows no such thing every engine is as any other. */
const gives = (instance: InstanceRecord | undefined): boolean => (niceOf(instance) ?? 0) > 0;
/**
 * What is looked for below can be seen. An engine is asked, and not this process: what descends from the first
 * process of a machine and never began a session is in no autogroup, and its engines, which began one, are.
 */
const visible = (w: World, id: string): boolean => niceOf(w.primary(id)) !== null;

const replicaOf = (w: World, id: string): InstanceRecord | undefined =>
  w.store.instances(id).find((each) => each.id !== w.primary(id).id);

/** Its replica is killed, and the next one is not filled before `fill` is called. */
async function replicaFills(w: World, id: string): Promise<() => Promise<void>> {
  const link = await w.link(w.primary(id));
  const fillAfter = (seconds: number) =>
    link.configure({ 'repl-diskless-sync-delay': String(seconds) }, COMMAND_MS);
  await fillAfter(LONG_S);
  const old = replicaOf(w, id)?.process?.pid ?? 0;
  process.kill(old, 'SIGKILL');
  await eventually(
    'a new replica gives way',
    () => {
      const replica = replicaOf(w, id);
      const runs = replica?.process != null && replica.process.pid !== old;
      return runs && gives(replica) === visible(w, id);
    },
    HEAL_MS,
  );
  return async () => {
    await fillAfter(0);
    link.close();
  };
}

describe('weights of real engines', { concurrency: false }, () => {
  test('a replica gives way while it fills, also across control processes, and not when it is in sync', async (t) => {
    const w = await world(t);
    const id = await w.create();
    const fill = await replicaFills(w, id);
    const { process: filling } = replicaOf(w, id) ?? {};
    assert.equal(replicaOf(w, id)?.synced, false);
    assert.equal(gives(w.primary(id)), false);
    await w.restart({});
    await w.databases.lookAt(id);
    assert.equal(gives(replicaOf(w, id)), visible(w, id), 'it still fills');
    await fill();
    await eventually('in sync', () => replicaOf(w, id)?.synced === true, HEAL_MS);
    await eventually('it is as any other', () => !gives(replicaOf(w, id)), HEAL_MS);
    assert.deepEqual(replicaOf(w, id)?.process, filling);
  });

  test('a control process gives back what the one before it could not', async (t) => {
    const w = await world(t);
    const id = await w.create();
    const engines = w.store.instances(id);
    const seen = visible(w, id);
    await w.databases.detach();
    for (const { process } of seen ? engines : []) {
      await eventually('written', () => lighten(process?.pid ?? 0), HEAL_MS);
    }
    assert.deepEqual(engines.map(gives), [seen, seen]);
    await w.restart({});
    for (const engine of engines) {
      await eventually('it is as any other', () => !gives(engine), HEAL_MS);
    }
  });
});

/** False: somebody else wrote in this tenth of a second. */
function lighten(pid: number): boolean {
  try {
    writeFileSync(`/proc/${pid}/autogroup`, '5');
    return true;
  } catch {
    return false;
  }
}
