/** When a shard's memory is brought into the order of slots, and when that is over: decisions only. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EngineFacts } from '../../engine/contract.ts';
import type { InstanceRecord, Scaling, ShardRecord, Sizing } from '../store/records.ts';
import { isToBeArranged, planArrangement } from './arrange.ts';
import { COPIES_FOLLOW_MS, ARRANGING as LIMITS } from './limits.ts';
import { replicasWanted } from './maintenance.ts';
import { type Sighting, UNSEEN, type View } from './model.ts';
import { beginScaling } from './pace.ts';

const NOW = 1_000_000;
const KEYS = 10 * LIMITS.fromKeys;

const SHARD = {
  index: 0,
  phase: 'serving',
  primary: 'a',
  handover: null,
  decidedAt: 0,
} as ShardRecord;

function sight(role: 'primary' | 'replica', loadedKeys: number): Sighting {
  const facts = { role, link: 'up', keys: KEYS, loadedKeys } as EngineFacts;
  return { ...UNSEEN, condition: 'answering', facts, factsAt: NOW };
}

/** Of shard 0: `a` leads, the others follow; each has loaded so many keys of a snapshot. */
function view(
  loaded: Readonly<Record<string, number>>,
  change: {
    shard?: Partial<ShardRecord>;
    replicas?: number;
    scaling?: Partial<Scaling>;
    maintenance?: boolean;
  } = {},
): View {
  const ids = Object.keys(loaded);
  const maintenance = change.maintenance === true ? { operation: 'o', pending: [] } : null;
  const scaling = { canceled: false, ...change.scaling } as Scaling;
  return {
    now: NOW,
    began: 0,
    arranging: LIMITS,
    database: { scaling, maintenance, sizing: { replicas: change.replicas ?? 1 } },
    shards: [{ ...SHARD, ...change.shard }],
    // Those that loaded a snapshot were started for it.
    instances: ids.map((id) => ({
      id,
      shard: 0,
      synced: true,
      phase: 'running',
      startedAt: (loaded[id] ?? 0) > 0 ? 2 : 1,
    })),
    seen: new Map(
      ids.map((id) => [id, sight(id === 'a' ? 'primary' : 'replica', loaded[id] ?? 0)]),
    ),
  } as unknown as View;
}

function toBeArranged(of: View, keysToGive = KEYS / 2): boolean {
  const { database, shards } = of;
  const [shard] = shards;
  assert.ok(database.scaling !== null && shard !== undefined);
  return isToBeArranged(of, database.scaling, shard, keysToGive);
}

const ARRANGING = { arranging: { shard: 0, at: NOW - 1_000 }, arranged: [0] } as const;

function next(of: View): string {
  const { scaling } = of.database;
  assert.ok(scaling !== null);
  const said = planArrangement(of, scaling);
  if (!('kind' in said)) return said.reason;
  return said.kind === 'end-arrange' ? said.reason : said.kind;
}

describe('a shard that is to give keys away', () => {
  test('is arranged when clients wrote most of them', () => {
    assert.ok(toBeArranged(view({ a: 0, b: 0 })));
    assert.ok(toBeArranged(view({ a: KEYS / 2 - 1, b: KEYS })), 'it is its primary that counts');
  });

  test('is not when most came from a snapshot, or with slots', () => {
    assert.ok(!toBeArranged(view({ a: KEYS / 2, b: 0 })));
    assert.ok(!toBeArranged(view({ a: 0, b: 0 }, { shard: { keysByBatches: KEYS / 2 } })));
  });

  test('is not for few keys, without replicas, twice in one change, on the way back, or in maintenance', () => {
    assert.ok(!toBeArranged(view({ a: 0, b: 0 }), LIMITS.fromKeys - 1));
    assert.ok(!toBeArranged(view({ a: 0 }, { replicas: 0 })));
    assert.ok(!toBeArranged(view({ a: 0, b: 0 }, { scaling: { arranged: [0] } })));
    assert.ok(!toBeArranged(view({ a: 0, b: 0 }, { scaling: { canceled: true } })));
    assert.ok(!toBeArranged(view({ a: 0, b: 0 }, { maintenance: true })));
  });
});

describe('a shard that is being arranged', () => {
  test('has one copy more, and waits for it', () => {
    const now = view({ a: 0, b: 0 }, { scaling: ARRANGING });
    assert.equal(replicasWanted(now, SHARD), 2);
    assert.equal(replicasWanted(now, { ...SHARD, index: 1 }), 1);
    assert.equal(next(now), 'copy-in-order-of-slots');
  });

  test('is handed to a copy that was built from a snapshot, not to the one of before', () => {
    const now = view({ a: 0, b: 0, c: KEYS }, { scaling: ARRANGING });
    const said = planArrangement(now, now.database.scaling as Scaling);
    assert.deepEqual(said, { kind: 'wish-handover', shard: 0, instance: 'c' });
  });

  test('waits for the switch, and is through when all have their keys in order', () => {
    const handover = { to: 'c' } as ShardRecord['handover'];
    const asked = view({ a: 0, b: 0, c: KEYS }, { scaling: ARRANGING, shard: { handover } });
    assert.equal(next(asked), 'handover-under-way');
    assert.equal(next(view({ a: KEYS, b: KEYS }, { scaling: ARRANGING })), 'in-order');
    assert.equal(next(view({ a: KEYS, b: 0, c: KEYS }, { scaling: ARRANGING })), 'in-order');
  });

  test('has its old copies replaced, one after the other, and never one that there is no other for', () => {
    const said = (loaded: Record<string, number>, replicas = 1, change: Partial<View> = {}) => {
      const now = { ...view(loaded, { scaling: ARRANGING, replicas }), ...change };
      return planArrangement(now, now.database.scaling as Scaling);
    };
    const goes = (instance: string) => ({ kind: 'dismiss', instance });
    assert.deepEqual(said({ a: KEYS, b: 0, c: 0 }), goes('b'));
    assert.equal(next(view({ a: KEYS, b: 0 }, { scaling: ARRANGING })), 'copy-in-order-of-slots');
    assert.deepEqual(said({ a: KEYS, b: 0, c: KEYS, d: 0 }, 2), goes('b'));
    assert.deepEqual(said({ a: KEYS, b: KEYS, c: KEYS, d: 0 }, 2), {
      kind: 'end-arrange',
      reason: 'in-order',
    });
    const syncing = view({ a: KEYS, b: 0, c: 0 }).instances.map((each) =>
      each.id === 'c' ? { ...each, synced: false } : each,
    );
    const waits = said({ a: KEYS, b: 0, c: 0 }, 1, { instances: syncing });
    assert.equal('reason' in waits && waits.reason, 'copy-in-order-of-slots');
  });

  test('has none replaced that was made of the new primary, however much is written meanwhile', () => {
    const now = view({ a: KEYS, b: 0, c: 0 }, { scaling: ARRANGING });
    const instances = now.instances.map((each) => ({ ...each, startedAt: 3 }));
    assert.equal(next({ ...now, instances }), 'in-order');
  });

  test('on the way back, and late, has none replaced: it is known who follows the new primary, soon', () => {
    const since = (ms: number, change: Partial<Sighting>): string => {
      const shard = { decidedAt: NOW - ms };
      const late = { arranging: { shard: 0, at: NOW - LIMITS.deadlineMs - 1 } };
      const now = view({ a: KEYS, b: 0 }, { scaling: late, shard });
      const seen = new Map(now.seen).set('b', { ...sight('replica', 0), ...change });
      return next({ ...now, seen });
    };
    assert.equal(since(10, { factsAt: NOW - 10 }), 'copies-to-follow', 'said before the switch');
    assert.equal(since(10, { factsAt: NOW - 9 }), 'in-order');
    const facts = { ...(sight('replica', 0).facts as EngineFacts), link: 'down' } as EngineFacts;
    assert.equal(since(COPIES_FOLLOW_MS, { facts }), 'copies-to-follow');
    assert.equal(since(COPIES_FOLLOW_MS + 1, { facts }), 'in-order');
    const back = { scaling: { ...ARRANGING, canceled: true } };
    assert.equal(next(view({ a: KEYS, b: 0, c: 0 }, back)), 'in-order');
    const maintained = view({ a: KEYS, b: 0, c: 0 }, { scaling: ARRANGING, maintenance: true });
    assert.equal(next(maintained), 'in-order');
  });

  test('goes on without where the copy does not come, or the user wants to go back', () => {
    const all = { a: 0, b: 0 };
    const since = (ms: number) => ({ scaling: { arranging: { shard: 0, at: NOW - ms } } });
    assert.equal(next(view(all, since(LIMITS.startMs))), 'copy-in-order-of-slots');
    assert.equal(next(view(all, since(LIMITS.startMs + 1))), 'late', 'no copy more runs');
    const copied = view({ ...all, c: 0 }, since(LIMITS.deadlineMs));
    const instances = copied.instances.map((each) => ({ ...each, synced: each.id !== 'c' }));
    assert.equal(next({ ...copied, instances }), 'copy-in-order-of-slots');
    assert.equal(next({ ...copied, instances, now: NOW + 1 }), 'late');
    assert.equal(next(view(all, { scaling: { ...ARRANGING, canceled: true } })), 'canceled');
    assert.equal(next(view(all, { scaling: { arranging: { shard: 3, at: NOW } } })), 'shard-gone');
    assert.equal(next(view(all, { scaling: ARRANGING, maintenance: true })), 'maintained');
  });

  test('goes on without where the new copy, too, was written to more than it was made of', () => {
    assert.equal(next(view({ a: 0, b: 0, c: 1 }, { scaling: ARRANGING })), 'no-copy-in-order');
  });

  test('does not wait for the time that another clock recorded', () => {
    const later = { arranging: { shard: 0, at: NOW + LIMITS.deadlineMs } };
    assert.equal(next(view({ a: 0, b: 0 }, { scaling: later })), 'late');
  });

  test('is not handed to a copy that is not whole, or goes', () => {
    const now = view({ a: 0, b: 0, c: KEYS }, { scaling: ARRANGING });
    const with_ = (change: Partial<InstanceRecord>) => ({
      ...now,
      instances: now.instances.map((each) => (each.id === 'c' ? { ...each, ...change } : each)),
    });
    assert.equal(next(with_({ synced: false })), 'copy-in-order-of-slots');
    assert.equal(next(with_({ phase: 'leaving' })), 'copy-in-order-of-slots');
  });
});

describe('a change of shards that is on record', () => {
  test('begins without anything of this, as one that was recorded before there was this', () => {
    const began = beginScaling({ shards: 1 } as Sizing, NOW);
    assert.ok(!('arranging' in began) && !('arranged' in began));
    const now = view({ a: 0, b: 0 }, { scaling: began });
    assert.equal(replicasWanted(now, SHARD), 1);
    assert.ok(toBeArranged(now));
  });
});
