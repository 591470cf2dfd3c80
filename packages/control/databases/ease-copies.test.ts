import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { View } from '../plan/model.ts';
import { copied } from './ease-copies.ts';

/** Two shards with a replica each, both in sync; pids 1 and 2 are the primaries', 11 and 12 the replicas'. */
function view(change: {
  readonly synced?: boolean;
  readonly syncing?: boolean;
  readonly moveFrom?: number;
  readonly replica?: 'running' | 'leaving';
  readonly primary?: null;
}): View {
  const process = (pid: number) => ({ pid, startTicks: 1 });
  const of = (shard: number) => [
    { id: `p${shard}`, shard, phase: 'running', synced: true, process: process(1 + shard) },
    {
      id: `r${shard}`,
      shard,
      phase: change.replica ?? 'running',
      synced: shard === 1 || (change.synced ?? true),
      process: process(11 + shard),
    },
  ];
  const move = change.moveFrom === undefined ? null : { source: change.moveFrom };
  return {
    instances: [...of(0), ...of(1)],
    shards: [0, 1].map((index) => ({
      index,
      primary: change.primary === null ? null : `p${index}`,
    })),
    seen: new Map([['r0', { facts: { syncing: change.syncing ?? false } }]]),
    database: { scaling: { move } },
  } as unknown as View;
}

const pids = (change: Parameters<typeof view>[0]): number[] =>
  copied(view(change)).map(({ pid }) => pid);

test('a primary whose replica has no whole copy yet, or copies all anew; and one that sends slots', () => {
  assert.deepEqual(pids({}), []);
  assert.deepEqual(pids({ synced: false }), [1]);
  assert.deepEqual(pids({ syncing: true }), [1]);
  assert.deepEqual(pids({ moveFrom: 1 }), [2]);
  assert.deepEqual(pids({ synced: false, moveFrom: 1 }), [1, 2]);
});

test('not for a replica that leaves, nor where nobody is primary', () => {
  assert.deepEqual(pids({ synced: false, replica: 'leaving' }), []);
  assert.deepEqual(pids({ synced: false, primary: null }), []);
});
