/** What moves next, and when a batch counts as moved: the decisions, without any engine. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EngineFacts, SlotRange } from '../../engine/contract.ts';
import type {
  DatabaseRecord,
  InstanceRecord,
  Scaling,
  ShardRecord,
  SlotMove,
} from '../store/records.ts';
import { ARRANGING, HANDOVER_GOAL_MS, SNAPSHOT_WAIT_MS } from './limits.ts';
import type { MoveSighting, Sighting, View } from './model.ts';
import { UNSEEN } from './model.ts';
import { beginScaling, nextPace } from './pace.ts';
import { slotsOfOthers } from './slot-owners.ts';
import { countSlots, SLOTS, subtract, takeLast, union } from './slot-ranges.ts';
import { nextBatch, planSlots, shareOf } from './slots.ts';

const NOW = 1_000_000;

function shard(index: number, slots: readonly SlotRange[], change: Partial<ShardRecord> = {}) {
  return {
    databaseId: 'd',
    index,
    slots,
    phase: 'serving',
    membership: 'member',
    reason: { code: 'running', message: '' },
    primary: `p${index}`,
    successor: null,
    decidedAt: 0,
    handover: null,
    ...change,
  } as ShardRecord;
}

function primary(shards: readonly ShardRecord[], index: number, keys: number): Sighting {
  const nodes = shards.map((s) => ({
    id: s.primary ?? '',
    primaryId: null,
    epoch: s.index + 1,
    slots: s.slots,
    failed: false,
  }));
  const facts = {
    role: 'primary',
    link: 'up',
    offset: 100,
    keys,
    cluster: { myId: `p${index}`, state: 'ok', epoch: 1, slots: shards[index]?.slots ?? [], nodes },
  } as unknown as EngineFacts;
  return { ...UNSEEN, process: 'running', condition: 'answering', facts, factsAt: NOW - 1 };
}

function view(
  shards: readonly ShardRecord[],
  wanted: number,
  change: {
    scaling?: Partial<Scaling>;
    move?: MoveSighting | null;
    seen?: [string, Sighting][];
  } = {},
): View {
  const sizing = { shards: wanted, replicas: 0 } as DatabaseRecord['sizing'];
  return {
    now: NOW,
    began: 0,
    ownDelayMs: 0,
    wanted: 'running',
    database: {
      id: 'd',
      settings: { policy: 'EnterpriseCluster' },
      sizing,
      scaling: { ...beginScaling(sizing, 0), ...change.scaling },
    } as unknown as DatabaseRecord,
    shards,
    instances: shards.map(
      (s) => ({ id: `p${s.index}`, shard: s.index, phase: 'running' }) as InstanceRecord,
    ),
    seen: new Map([
      ...shards.map((_, i): [string, Sighting] => [`p${i}`, primary(shards, i, 1_000)]),
      ...(change.seen ?? []),
    ]),
    published: true,
    move: change.move ?? null,
    arranging: ARRANGING,
    stopping: false,
  };
}

const move: SlotMove = {
  source: 0,
  target: 1,
  ranges: [[8_192, 16_383]],
  sourceNode: 'p0',
  targetNode: 'p1',
  keys: 500,
  askedAt: NOW - 1_000,
};
const told: MoveSighting = {
  outcome: 'success',
  waitingSince: null,
  message: '',
  pauseMs: 20,
  handOverMs: 20,
  endedAt: NOW - 10,
  targetOffset: 0,
};
const kinds = (v: View) => planSlots(v).actions.map((action) => action.kind);
const reasons = (v: View) => planSlots(v).waits.map((each) => each.reason);

describe('slot ranges', () => {
  test('what is taken away and put back is the same', () => {
    const taken = takeLast(
      [
        [0, 99],
        [200, 299],
      ],
      150,
    );
    assert.deepEqual(taken, [
      [50, 99],
      [200, 299],
    ]);
    const left = subtract(
      [
        [0, 99],
        [200, 299],
      ],
      taken,
    );
    assert.deepEqual(left, [[0, 49]]);
    assert.deepEqual(union(left, taken), [
      [0, 99],
      [200, 299],
    ]);
  });

  test('shares of any number of shards are all slots', () => {
    for (let shards = 1; shards <= 384; shards++) {
      const sum = Array.from({ length: shards }, (_, i) => shareOf(i, shards));
      assert.equal(
        sum.reduce((a, b) => a + b),
        SLOTS,
      );
    }
  });
});

describe('the next batch', () => {
  test('batch after batch every shard gets its share, up and down', () => {
    let shards = [shard(0, [[0, SLOTS - 1]]), ...[1, 2, 3, 4, 5].map((i) => shard(i, []))];
    for (const wanted of [2, 6, 2, 5, 1]) {
      for (let turns = 0; ; turns++) {
        assert.ok(turns < 1_000, 'it ends');
        const batch = nextBatch(shards, wanted, 2_000, (s) => countSlots(s.slots) * 10);
        if (batch === null) break;
        assert.ok(countSlots(batch.ranges) <= 200, 'as many slots as hold 2,000 keys');
        shards = shards.map((s) => {
          if (s.index === batch.source) return { ...s, slots: subtract(s.slots, batch.ranges) };
          return s.index === batch.target ? { ...s, slots: union(s.slots, batch.ranges) } : s;
        });
      }
      for (const s of shards) assert.equal(countSlots(s.slots), shareOf(s.index, wanted));
    }
  });

  test('one slot at least, however many keys it holds', () => {
    const batch = nextBatch([shard(0, [[0, SLOTS - 1]]), shard(1, [])], 2, 500, () => 1e9);
    assert.equal(countSlots(batch?.ranges ?? []), 1);
  });

  test('the size follows the time that the last one took', () => {
    const next = (batchKeys: number, keys: number, took: number, least?: number) =>
      nextPace(
        { batchKeys, ...(least === undefined ? {} : { leastHandOverMs: least }) },
        keys,
        took,
      ).batchKeys;
    const goal = HANDOVER_GOAL_MS;
    assert.equal(next(4_000, 4_000, goal / 8), 8_000, 'a third of what it says, by its logarithm');
    assert.equal(next(8_000, 8_000, 8 * goal, 10), 4_000);
    assert.equal(next(8_000, 8_000, goal, 10), 8_000);
    assert.equal(next(4_000, 4_000, 10_000), 2_000, 'not endlessly small');
    assert.equal(next(4_000, 300, 10), 4_000, 'a small last one allows no growth');
    assert.equal(next(4_000, 3_900, goal / 8), 8_000, 'whole slots are never exactly as many keys');
    const nearly = (keys: number, factor: number) => Math.round(keys * Math.cbrt(factor));
    assert.equal(next(2_000, 2_000, 60), nearly(2_000, 1.5), 'the smallest cannot be had for less');
    assert.equal(
      next(4_000, 4_000, 60, 60),
      nearly(4_000, 1.5),
      'and sets how long others may take',
    );
    assert.equal(next(4_000, 4_000, 60, 30), nearly(4_000, 0.75), 'until one was quicker');
    assert.equal(
      next(4_000, 4_000, 200, 90),
      nearly(4_000, 0.5),
      'what is promised holds for it, too',
    );
    assert.equal(next(2_000, 2_000, 60, 30), nearly(2_000, 1.5), 'the machine is busy since then');
    const first = nextPace({ batchKeys: 2_000 }, 2_000, 300);
    assert.deepEqual(first, { batchKeys: 2_000, leastHandOverMs: 300 });
  });
});

describe('nothing is to move, and a primary lacks slots that are recorded as its own', () => {
  const records = [shard(0, [[0, 8_191]]), shard(1, [[8_192, 16_383]])];
  const still = (said: readonly ShardRecord[], change: Partial<ShardRecord> = {}): View => {
    const seen = said.map((_, i): [string, Sighting] => [`p${i}`, primary(said, i, 1)]);
    const v = view(
      records.map((each) => (each.index === 1 ? { ...each, ...change } : each)),
      2,
      { seen },
    );
    return { ...v, database: { ...v.database, scaling: null } };
  };
  const lost = [shard(0, [[0, 8_191]]), shard(1, [[8_292, 16_383]])];

  test('nobody has them: it takes them again', () => {
    assert.deepEqual(planSlots(still(lost)).actions, [
      { kind: 'claim-slots', shard: 1, ranges: [[8_192, 8_291]] },
    ]);
    assert.deepEqual(planSlots(still(records)).actions, []);
  });

  test('another has them, and all say so: recorded', () => {
    const taken = [shard(0, [[0, 8_291]]), shard(1, [[8_292, 16_383]])];
    assert.deepEqual(kinds(still(taken)), ['note-slots']);
  });

  test('not by what it said before its last change of roles, nor while others are not asked', () => {
    assert.deepEqual(kinds(still(lost, { decidedAt: NOW - 1 })), []);
    const away = still(lost);
    const old = new Map(away.seen).set('p0', { ...primary(lost, 0, 1), factsAt: NOW - 60_000 });
    const unasked = { ...away, seen: old };
    assert.deepEqual([kinds(unasked), reasons(unasked)], [[], ['slot-owners-not-agreed']]);
  });
});

test('no slots go to a primary that refuses commands: it would refuse those for its new slots, too', () => {
  const shards = [shard(0, [[0, SLOTS - 1]]), shard(1, [])];
  const now = view(shards, 2);
  assert.deepEqual(kinds(now), ['begin-move']);
  const sight = now.seen.get('p1');
  const cluster = { ...sight?.facts?.cluster, state: 'fail' };
  const refuses = { ...sight, facts: { ...sight?.facts, cluster } } as Sighting;
  const later = { ...now, seen: new Map(now.seen).set('p1', refuses) };
  assert.deepEqual([kinds(later), reasons(later)], [[], ['target-takes-no-commands']]);
});

describe('a batch under way', () => {
  const two = [shard(0, [[0, SLOTS - 1]]), shard(1, [])];
  const arrived = [shard(0, [[0, 8_191]]), shard(1, [[8_192, 16_383]])];

  test('that was accepted is waited for, for a minute where it waits for a child', () => {
    const running = { ...told, outcome: 'running' as const, endedAt: 0 };
    assert.deepEqual(kinds(view(two, 2, { scaling: { move }, move: running })), []);
    const waitingSince = NOW - SNAPSHOT_WAIT_MS - 1;
    const stuck = view(two, 2, { scaling: { move }, move: { ...running, waitingSince } });
    assert.deepEqual(kinds(stuck), ['cancel-move']);
  });

  test('whose target has a successor that does not own it is cancelled: its source waits for nobody', () => {
    const running = { ...told, outcome: 'running' as const, endedAt: 0 };
    const orphan = { ...move, targetNode: 'dead' };
    const orphaned = view(two, 2, { scaling: { move: orphan }, move: running });
    assert.deepEqual(kinds(orphaned), ['cancel-move']);
    const seen = arrived.map((_, i): [string, Sighting] => [`p${i}`, primary(arrived, i, 1)]);
    const heard = view(two, 2, { scaling: { move: orphan }, move: running, seen });
    assert.deepEqual(kinds(heard), []);
  });

  test('has moved when every primary says so, whatever its source called it', () => {
    for (const outcome of ['success', 'failed', 'absent'] as const) {
      const sighting = { ...told, outcome };
      const stayed = planSlots(view(two, 2, { scaling: { move }, move: sighting })).actions;
      assert.deepEqual(stayed, [{ kind: 'end-move', moved: false, reason: outcome }]);
      const seen = arrived.map((_, i): [string, Sighting] => [`p${i}`, primary(arrived, i, 1)]);
      const moved = planSlots(view(two, 2, { scaling: { move }, move: sighting, seen })).actions;
      assert.deepEqual(moved, [{ kind: 'end-move', moved: true, reason: outcome }]);
    }
  });

  test('is not decided while the primaries tell two stories, or have not been asked since', () => {
    const split: [string, Sighting][] = [['p1', primary(arrived, 1, 1)]];
    const apart = view(two, 2, { scaling: { move }, move: told, seen: split });
    assert.deepEqual([kinds(apart), reasons(apart)], [[], ['slot-owners-not-agreed']]);
    const stale = view(two, 2, { scaling: { move }, move: { ...told, endedAt: NOW } });
    assert.deepEqual(kinds(stale), []);
  });

  test('waits for a failover at either end', () => {
    const promoting = { phase: 'promoting', reason: { code: 'promoting', message: '' } } as const;
    const shards = [shard(0, [[0, SLOTS - 1]], promoting), shard(1, [])];
    const v = view(shards, 2, { scaling: { move }, move: told });
    assert.deepEqual([kinds(v), reasons(v)], [[], ['promoting']]);
  });
});

describe('who takes over', () => {
  /** A replica of shard 0, and what it believes its primary to own. */
  const believing = (...slots: SlotRange[]) => ({
    myId: 'r0',
    state: 'ok' as const,
    epoch: 1,
    slots: [],
    nodes: [
      { id: 'p0', primaryId: null, epoch: 1, slots, failed: false },
      { id: 'r0', primaryId: 'p0', epoch: 1, slots: [], failed: false },
    ],
  });
  const shards = [shard(0, [[0, 8191]]), shard(1, [[8192, 16_383]])];
  const move = { source: 0, target: 1, ranges: [[4096, 8191]] } as unknown as SlotMove;

  const of = (...args: Parameters<typeof slotsOfOthers>) => {
    const { settled, arriving } = slotsOfOthers(...args);
    return [settled, arriving];
  };

  test('takes nothing that is recorded as another shard’s', () => {
    assert.deepEqual(of(believing([0, 16_383]), 0, shards, null, []), [[[8192, 16_383]], []]);
    assert.deepEqual(of(believing([0, 8191]), 0, shards, null, []), [[], []]);
    assert.deepEqual(of(believing(), 0, shards, null, []), [[], []]);
  });

  test('of a batch on its way out, what the other end has; of one on its way in, nothing', () => {
    const all = believing([0, 8191]);
    assert.deepEqual(of(all, 0, shards, move, [[8192, 16_383]]), [[], []]);
    assert.deepEqual(of(all, 0, shards, move, [[4096, 16_383]]), [[], [[4096, 8191]]]);
    const inwards = { source: 1, target: 0, ranges: [[8192, 9000]] } as unknown as SlotMove;
    assert.deepEqual(of(believing([0, 9000]), 0, shards, inwards, []), [[], []]);
    assert.deepEqual(of(believing([0, 9100]), 0, shards, inwards, []), [[[9001, 9100]], []]);
  });
});

describe('shards that come and go', () => {
  test('a newcomer is introduced to every member, replicas too', () => {
    const joining = [shard(0, [[0, SLOTS - 1]]), shard(1, [], { membership: 'joining' })];
    const v = view(joining, 2);
    const replica = { id: 'r', shard: 0, phase: 'running', synced: true } as InstanceRecord;
    const deaf = primary([joining[0] ?? assert.fail()], 0, 0);
    const seen = new Map([...v.seen, ['r', deaf]] as [string, Sighting][]);
    const { actions } = planSlots({ ...v, instances: [...v.instances, replica], seen });
    assert.deepEqual(actions, [{ kind: 'meet', instance: 'r', through: 'p1' }]);
  });

  test('a slot that no primary says it has is claimed, whatever others believe', () => {
    const recorded = [shard(0, [[0, 8191]]), shard(1, [[8192, SLOTS - 1]])];
    const took = [shard(0, [[0, 8191]]), shard(1, [[8192, SLOTS - 2]])];
    // p0 still believes that p1 has the last one.
    const v = view(recorded, 2, { seen: [['p1', primary(took, 1, 1)]] });
    const claim = { kind: 'claim-slots', shard: 1, ranges: [[SLOTS - 1, SLOTS - 1]] };
    assert.deepEqual(planSlots(v).actions, [claim]);
  });

  test('no slot for one that has not got the functions', () => {
    const joining = [shard(0, [[0, SLOTS - 1]]), shard(1, [], { membership: 'joining' })];
    assert.deepEqual(kinds(view(joining, 2)), ['admit']);
  });

  test('one with slots left is drained, not removed', () => {
    const v = view([shard(0, [[0, 16_382]]), shard(1, [[16_383, 16_383]])], 1);
    assert.deepEqual(kinds(v), ['begin-move']);
    assert.deepEqual(kinds(view([shard(0, [[0, SLOTS - 1]]), shard(1, [])], 1)), ['retire-shard']);
    assert.deepEqual(kinds(view([shard(0, [[0, SLOTS - 1]])], 1)), ['end-scaling']);
  });

  test('none begins while a copy is being made at either end', () => {
    const v = view([shard(0, [[0, SLOTS - 1]]), shard(1, [])], 2);
    const replica = { id: 'r', shard: 0, phase: 'running', synced: false } as InstanceRecord;
    const syncing = { ...v, instances: [...v.instances, replica] };
    assert.deepEqual([kinds(syncing), reasons(syncing)], [[], ['replica-not-in-sync']]);
  });

  test('none begins at a shard that is to be switched', () => {
    const handover = { to: null, at: NOW, notBefore: 0, tries: 0, problem: null };
    const v = view([shard(0, [[0, SLOTS - 1]]), shard(1, [], { handover } as never)], 2);
    assert.deepEqual([kinds(v), reasons(v)], [[], ['switch-first']]);
  });
});
