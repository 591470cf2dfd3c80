/**
 * The rules that decide who may be primary, one situation each. The simulator finds what nobody
 * thought of; this table holds what everybody knows, on the situations that a simulated life meets
 * too seldom.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EngineFacts, SlotRange } from '../../engine/contract.ts';
import type { DatabaseRecord, InstanceRecord, ShardRecord } from '../store/records.ts';
import { candidates, fitness } from './candidate.ts';
import { ARRANGING, BUSY_AFTER_MS, HUNG_AFTER_MS } from './limits.ts';
import { type Action, type Sighting, UNSEEN, type View } from './model.ts';
import { plan } from './plan.ts';

const NOW = 1_000_000;
const HISTORY = 'a'.repeat(40);
const [A, B, C] = ['1', '2', '3'].map((digit) => digit.repeat(40)) as [string, string, string];

function instance(id: string, change: Partial<InstanceRecord> = {}): InstanceRecord {
  return {
    id,
    databaseId: 'd',
    shard: 0,
    node: 'local',
    phase: 'running',
    start: 'follow',
    host: '127.0.0.1',
    port: Number(id[0]) + 20_000,
    busPort: Number(id[0]) + 30_000,
    plainPort: 0,
    dataDir: `/d/${id}`,
    socket: `/s/${id}`,
    process: { pid: 1, startTicks: 1 },
    synced: true,
    replicationId: HISTORY,
    offset: 1_000,
    engine: 'valkey 9',
    startedAt: 1,
    endedAt: 0,
    ...change,
  };
}

function shardOf(change: Partial<ShardRecord> = {}): ShardRecord {
  return {
    databaseId: 'd',
    index: 0,
    slots: [[0, 16_383]],
    phase: 'serving',
    membership: 'member',
    reason: { code: 'running', message: '' },
    primary: A,
    successor: null,
    epoch: 4,
    replicationId: HISTORY,
    offset: 1_000,
    configEpoch: 7,
    saved: null,
    lossAccepted: null,
    handover: null,
    dataLost: null,
    decidedAt: 1,
    ...change,
  };
}

function facts(change: Partial<EngineFacts> = {}): EngineFacts {
  return {
    role: 'replica',
    replicationId: HISTORY,
    offset: 1_000,
    link: 'down',
    syncing: false,
    loading: false,
    primaryHost: '127.0.0.1',
    primaryPort: 20_001,
    followers: [],
    cluster: null,
    keys: 1,
    loadedKeys: 0,
    usedMemoryBytes: 1,
    idleMemoryBytes: 0,
    version: 'valkey 9',
    ...change,
  };
}

function clusterFacts(id: string, epoch: number): EngineFacts['cluster'] {
  const slots = [[0, 16_383]] as const;
  return { myId: id, state: 'ok', epoch, slots, nodes: [] };
}

function seen(change: Partial<Sighting> = {}): Sighting {
  return {
    ...UNSEEN,
    process: 'running',
    condition: 'answering',
    since: NOW - 100,
    facts: facts(),
    factsAt: NOW,
    configured: 1,
    ...change,
  };
}

function view(
  shard: ShardRecord,
  instances: readonly InstanceRecord[],
  sightings: Readonly<Record<string, Sighting>>,
): View {
  const database = {
    id: 'd',
    generation: 1,
    observedGeneration: 1,
    settings: { policy: 'EnterpriseCluster' },
    sizing: { replicas: 1 },
    scaling: null,
    maintenance: null,
    config: {},
  } as unknown as DatabaseRecord;
  return {
    now: NOW,
    began: 0,
    ownDelayMs: 0,
    wanted: 'running',
    database,
    shards: [shard],
    instances,
    seen: new Map(Object.entries(sightings)),
    published: true,
    move: null,
    arranging: ARRANGING,
    stopping: false,
  };
}

const DEAD = { phase: 'dead', process: null, synced: false, endedAt: NOW - 50 } as const;
const said = (v: View): readonly Action[] => plan(v).actions;
const promoted = (v: View): string[] =>
  said(v).flatMap((action) => (action.kind === 'promote' ? [action.instance] : []));

describe('who is fit to follow a dead primary', () => {
  const cases: [what: string, Partial<EngineFacts>, Partial<InstanceRecord>, kind: string][] = [
    ['whole, same history, read to the end', {}, {}, 'fit'],
    ['its sync was not recorded, but its history proves it', {}, { synced: false }, 'fit'],
    ['never synced', { replicationId: 'b'.repeat(40), offset: 0 }, { synced: false }, 'empty'],
    ['another history', { replicationId: 'b'.repeat(40) }, {}, 'older'],
    ['behind what it reported itself', { offset: 999 }, {}, 'older'],
    ['its stream is not read to the end', { link: 'up' }, {}, 'soon'],
    ['in the middle of a sync', { syncing: true }, {}, 'soon'],
    ['still loading', { loading: true }, {}, 'soon'],
  ];
  for (const [what, told, recorded, kind] of cases) {
    test(what, () => {
      const result = fitness(shardOf(), instance(B, recorded), seen({ facts: facts(told) }), 0);
      assert.equal(result.fit ? 'fit' : result.kind, kind);
    });
  }

  test('what it said before the death proves nothing', () => {
    const result = fitness(shardOf(), instance(B), seen({ factsAt: NOW - 60 }), NOW - 50);
    assert.ok(!result.fit && result.kind === 'soon');
  });

  test('the one that is ahead wins, then the lowest id', () => {
    const ahead = (offsets: Record<string, number>): string | undefined =>
      candidates(
        shardOf(),
        [instance(C), instance(B)],
        (id) => seen({ facts: facts({ offset: offsets[id] ?? 0 }) }),
        0,
      ).best?.id;
    assert.equal(ahead({ [B]: 1_000, [C]: 1_001 }), C);
    assert.equal(ahead({ [B]: 1_002, [C]: 1_001 }), B);
  });
});

describe('a primary that does not answer', () => {
  const members = [instance(A), instance(B)];
  const mute = (since: number, more: Partial<Sighting> = {}): Sighting =>
    seen({ condition: 'mute', process: 'stopped', since, ...more });
  const replica = seen({ facts: facts({ link: 'up' }) });

  test('is fenced before anybody is promoted, though its replica is fit', () => {
    for (const age of [10, HUNG_AFTER_MS - 1, HUNG_AFTER_MS + 1, BUSY_AFTER_MS + 1]) {
      const v = view(shardOf(), members, { [A]: mute(NOW - age), [B]: seen() });
      assert.deepEqual(promoted(v), [], `after ${age} ms`);
    }
    const late = view(shardOf(), members, { [A]: mute(NOW - HUNG_AFTER_MS - 1), [B]: replica });
    assert.deepEqual(said(late), [{ kind: 'fence', instance: A, reason: 'hung' }]);
  });

  test('is left alone while it works, and while this process itself is late', () => {
    const working = { process: 'running', stillSince: NOW } as const;
    const age = NOW - HUNG_AFTER_MS - 1;
    const waits = { process: 'uninterruptible', stillSince: NOW - HUNG_AFTER_MS / 2 } as const;
    const disk = view(shardOf(), members, { [A]: mute(age, waits), [B]: replica });
    assert.deepEqual(said(disk), [], 'it worked half a second ago');
    const busy = view(shardOf(), members, { [A]: mute(age, working), [B]: replica });
    assert.deepEqual(said(busy), []);
    const late = { ...view(shardOf(), members, { [A]: mute(age), [B]: replica }), ownDelayMs: 900 };
    assert.deepEqual(said(late), []);
  });

  test('is never killed when it holds the only whole copy', () => {
    const age = NOW - BUSY_AFTER_MS - 1;
    const alone = view(shardOf(), [instance(A), instance(B, { synced: false })], {
      [A]: mute(age),
      [B]: replica,
    });
    assert.deepEqual(said(alone), []);
    // Its link broke before: it lacks what the mute one wrote since, however whole it was.
    const cut = view(shardOf(), members, {
      [A]: mute(age),
      [B]: seen({ facts: facts({ link: 'down' }) }),
    });
    assert.deepEqual(said(cut), []);
    const gone = view(shardOf(), [instance(A), instance(B, DEAD)], { [A]: mute(age) });
    assert.ok(said(gone).every((action) => action.kind !== 'fence'));
  });
});

describe('a promotion', () => {
  test('waits until the replica has read the stream of its dead primary', () => {
    const dead = [instance(A, DEAD), instance(B)];
    const reading = seen({ facts: facts({ link: 'up' }) });
    assert.deepEqual(promoted(view(shardOf(), dead, { [B]: reading })), []);
    assert.deepEqual(promoted(view(shardOf(), dead, { [B]: seen() })), [B]);
  });

  test('whose reply was lost is asked again of the same engine, never of a second one', () => {
    const shard = shardOf({ phase: 'promoting', successor: B });
    const members = [instance(A, DEAD), instance(B), instance(C)];
    const v = view(shard, members, { [B]: seen(), [C]: seen({ facts: facts({ offset: 9_999 }) }) });
    assert.deepEqual(promoted(v), [B]);
    const unheard = view(shard, members, {
      [B]: seen({ condition: 'mute', since: NOW - 10 }),
      [C]: seen(),
    });
    assert.deepEqual(promoted(unheard), []);
  });

  test('is crowned only when the engine itself says that it is primary', () => {
    const shard = shardOf({ phase: 'promoting', successor: B });
    const members = [instance(A, DEAD), instance(B)];
    const crowned = (role: EngineFacts['role']): boolean => {
      const told = facts({ role, cluster: clusterFacts(B, 8) });
      return said(view(shard, members, { [B]: seen({ facts: told }) })).some(
        (action) => action.kind === 'crown',
      );
    };
    assert.equal(crowned('replica'), false);
    assert.equal(crowned('primary'), true);
  });
});

test('of two copies where one is wanted the one goes that has to copy all anew', () => {
  const copies = [instance(A), instance(B), instance(C)];
  const follows = (link: EngineFacts['link']): Sighting => seen({ facts: facts({ link }) });
  for (const [b, c, goes] of [
    ['up', 'down', C],
    ['down', 'up', B],
  ] as const) {
    const sights = {
      [A]: seen({ facts: facts({ role: 'primary' }) }),
      [B]: follows(b),
      [C]: follows(c),
    };
    const dismissed = said(view(shardOf({}), copies, sights)).filter(
      ({ kind }) => kind === 'dismiss',
    );
    assert.deepEqual(dismissed, [{ kind: 'dismiss', instance: goes }]);
  }
});

test('of two copies that are whole the one goes whose keys lie in no order', () => {
  const copies = [instance(A), instance(B), instance(C)];
  for (const [ordered, goes] of [
    [B, C],
    [C, B],
  ] as const) {
    const loaded = (id: string): Sighting =>
      seen({ facts: facts({ keys: 10, loadedKeys: id === ordered ? 10 : 0 }) });
    const sights = {
      [A]: seen({ facts: facts({ role: 'primary' }) }),
      [B]: loaded(B),
      [C]: loaded(C),
    };
    const dismissed = said(view(shardOf({}), copies, sights)).filter(
      ({ kind }) => kind === 'dismiss',
    );
    assert.deepEqual(dismissed, [{ kind: 'dismiss', instance: goes }]);
  }
});

describe('a planned switch', () => {
  const wish = { to: null, operation: null, at: NOW - 1, tries: 0, problem: null, notBefore: 0 };
  const leads = seen({ facts: facts({ role: 'primary' }) });
  const follows = seen({ facts: facts({ link: 'up' }) });
  const wished = view(shardOf({ handover: wish }), [instance(A), instance(B)], {
    [A]: leads,
    [B]: follows,
  });
  const begun = (v: View): number => said(v).filter(({ kind }) => kind === 'hand-over').length;

  test('begins when a whole copy follows, but not once a stop is near: that one looks for a primary', () => {
    assert.equal(begun(wished), 1);
    assert.equal(begun({ ...wished, stopping: true }), 0);
  });

  test('is never undone in favour of a primary that has given its slots away: it has no data', () => {
    const decided = shardOf({ phase: 'switching', successor: B, decidedAt: NOW - 100 });
    const kinds = (slots: readonly SlotRange[]): string[] => {
      const cluster = { myId: A, state: 'ok', epoch: 7, slots, nodes: [] } as const;
      const old = seen({ facts: facts({ role: 'primary', cluster }) });
      const v = view(decided, [instance(A), instance(B, DEAD)], { [A]: old });
      return said(v).map(({ kind }) => kind);
    };
    assert.deepEqual(kinds([[0, 16_383]]), ['undo-handover']);
    assert.deepEqual(kinds([]), ['fence']);
  });
});

describe('an engine that calls itself primary against the records', () => {
  const claims = (epoch: number): Sighting =>
    seen({ facts: facts({ role: 'primary', cluster: clusterFacts(B, epoch) }) });
  const members = [instance(A, DEAD), instance(B)];
  const adopted = (epoch: number): boolean =>
    said(view(shardOf(), members, { [B]: claims(epoch) })).some((a) => a.kind === 'adopt');

  test('is believed only with an epoch newer than the last one recorded', () => {
    assert.equal(adopted(6), false);
    assert.equal(adopted(7), false);
    assert.equal(adopted(8), true);
  });

  test('is never started again but as a follower', () => {
    const primary = seen({ facts: facts({ role: 'primary', cluster: clusterFacts(A, 7) }) });
    const v = view(shardOf(), [instance(A), instance(B, DEAD)], { [A]: primary });
    const starts = said(v).filter((action) => action.kind === 'start');
    assert.deepEqual(starts, [{ kind: 'start', instance: B, as: 'follow' }]);
  });
});
