/** A shard that only an older copy can bring back: what is planned, before and after the user's word. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineFacts } from '../../engine/contract.ts';
import type { DatabaseRecord, InstanceRecord, ShardRecord } from '../store/records.ts';
import { type Sighting, UNSEEN, type View } from './model.ts';
import { planShard } from './shard.ts';

const DIED_AT = 1_000;
const NOW = 2_000;
const OWN = 'history-of-the-shard';

const instance = (id: string, change: Partial<InstanceRecord> = {}) =>
  ({
    id,
    shard: 0,
    phase: 'running',
    synced: true,
    offset: 900,
    endedAt: 0,
    ...change,
  }) as InstanceRecord;

const sees = (change: Partial<EngineFacts> = {}, sight: Partial<Sighting> = {}): Sighting => ({
  ...UNSEEN,
  process: 'running',
  condition: 'answering',
  factsAt: NOW,
  facts: {
    role: 'replica',
    replicationId: OWN,
    offset: 100,
    link: 'down',
    syncing: false,
    loading: false,
    ...change,
  } as EngineFacts,
  ...sight,
});

const other = (offset: number) => sees({ replicationId: 'another', offset });

function planned(
  copies: Record<string, [InstanceRecord, Sighting]>,
  accepted: boolean,
  saved = false,
  code = 'only-older-copy',
) {
  const shard = {
    index: 0,
    phase: 'down',
    reason: { code, message: '' },
    primary: 'p',
    successor: null,
    replicationId: OWN,
    saved: saved ? {} : null,
    lossAccepted: accepted ? { at: NOW, by: 'alice' } : null,
    slots: [],
  } as unknown as ShardRecord;
  const view = {
    now: NOW,
    ownDelayMs: 0,
    database: { settings: { policy: 'NoCluster' }, sizing: { replicas: 1 } } as DatabaseRecord,
    shards: [shard],
    instances: [
      instance('p', { phase: 'dead', endedAt: DIED_AT }),
      ...Object.values(copies).map(([record]) => record),
    ],
    seen: new Map([
      ['p', { ...UNSEEN, endedAt: DIED_AT }],
      ...Object.entries(copies).map(([id, [, sight]]) => [id, sight] as const),
    ]),
  } as unknown as View;
  const { actions, waits } = planShard(view, shard);
  const [action] = actions;
  if (action === undefined) return `wait ${waits[0]?.reason}`;
  if (action.kind === 'give-up') return `give-up ${action.code}`;
  return 'instance' in action ? `${action.kind} ${action.instance}` : action.kind;
}

const TABLE: readonly [
  what: string,
  Parameters<typeof planned>[0],
  without: string,
  withWord: string,
][] = [
  ['behind its own report', { a: [instance('a'), sees()] }, 'wait only-older-copy', 'promote a'],
  ['of another history', { a: [instance('a'), other(500)] }, 'wait only-older-copy', 'promote a'],
  [
    'the higher offset of one history wins',
    { a: [instance('a'), sees({ offset: 100 })], b: [instance('b'), sees({ offset: 200 })] },
    'wait only-older-copy',
    'promote b',
  ],
  [
    'equal offsets: the lower id',
    { b: [instance('b'), sees()], a: [instance('a'), sees()] },
    'wait only-older-copy',
    'promote a',
  ],
  [
    'its own history before a longer one of another',
    { a: [instance('a'), other(9_999)], b: [instance('b'), sees()] },
    'wait only-older-copy',
    'promote b',
  ],
  [
    'a later look calls it fit: the word is still asked for',
    { a: [instance('a', { offset: 50 }), sees()] },
    'wait only-older-copy',
    'promote a',
  ],
  [
    'does not answer now',
    { a: [instance('a'), sees({}, { condition: 'mute' })] },
    'wait only-older-copy',
    'wait older-copy-not-ready',
  ],
  [
    'never synced: there is nothing to choose',
    { a: [instance('a', { synced: false }), other(0)] },
    'give-up no-copy-left',
    'give-up no-copy-left',
  ],
  [
    'died meanwhile, beside one that never synced',
    {
      a: [instance('a', { phase: 'dead' }), UNSEEN],
      b: [instance('b', { synced: false }), other(0)],
    },
    'give-up no-copy-left',
    'give-up no-copy-left',
  ],
];

for (const [what, copies, without, withWord] of TABLE) {
  test(what, () => {
    assert.equal(planned(copies, false), without);
    assert.equal(planned(copies, true), withWord);
  });
}

test('in the file of a stop: it waits for the same word, then the file is loaded', () => {
  assert.equal(planned({}, false, true), 'wait only-older-copy');
  assert.equal(planned({}, true, true), 'start p');
});

test('after a stop that was broken off: a whole copy that is still alive serves, nothing starts empty beside it', () => {
  const whole = instance('a', { offset: 100 });
  const stopped = (copies: Parameters<typeof planned>[0]) =>
    planned(copies, false, false, 'stopped');
  assert.equal(stopped({ a: [whole, sees()] }), 'promote a');
  // It has not been asked since its primary died: its answer is waited for.
  const early = sees({}, { factsAt: DIED_AT - 1 });
  assert.equal(stopped({ a: [whole, early] }), 'wait not-asked-since');
  assert.equal(stopped({}), 'start p');
});
