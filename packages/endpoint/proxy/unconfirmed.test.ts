/** WAIT after a failure: what was acknowledged and may be lost is said, whatever was written since. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { keySlot } from '../../resp/index.ts';
import { SWITCHING } from '../control-protocol.ts';
import { Owed } from './spare-lanes.ts';
import { startProxy } from './testing.ts';
import { instance, KEY, RawClient, startShards, switchPrimary } from './testing-engines.ts';
import { Unconfirmed, type WrittenLane } from './unconfirmed.ts';

const MS = 3000;
const UNKNOWN = /^-OUTCOMEUNKNOWN .*WAIT/;
/** Keys of the first and of the second of two shards. */
const [ONE, TWO] = [0, 1].map((shard) => {
  for (let i = 0; ; i++)
    if (Math.floor(keySlot(Buffer.from(`k${i}`)) / 8192) === shard) return `k${i}`;
}) as [string, string];

test('WAIT tells of lost writes', async (t) => {
  const { shards, views } = await startShards(t, 2, true);
  const [first, second] = shards;
  assert.ok(first?.replica && second?.replica);
  const running = await startProxy({ shards: views, keys: { default: KEY }, workers: 2 });
  t.after(() => running.close());
  const clients = await Promise.all(Array.from({ length: 7 }, () => RawClient.open(running.port)));
  const [one, both, multi, aof, sure, other, large] = clients as [
    RawClient,
    RawClient,
    RawClient,
    RawClient,
    RawClient,
    RawClient,
    RawClient,
  ];

  await t.test('the primary was killed', async () => {
    await sure.ask('SET', ONE, 'v');
    assert.equal(await sure.ask('WAIT', '1', '5000'), ':1\r\n');
    process.kill(first.replica?.process.pid ?? 0, 'SIGSTOP');
    // A large value, on another lane, and then a write that writes nothing.
    assert.equal(await large.ask('SET', ONE, 'v'.repeat(200_000)), '+OK\r\n');
    assert.equal(await large.ask('DEL', `{${ONE}}none`), ':0\r\n');
    assert.equal(await large.ask('WAIT', '1', '50'), ':0\r\n');
    for (const client of [one, both, multi, aof]) {
      assert.equal(await client.ask('SET', ONE, 'v'), '+OK\r\n');
    }
    // Asked for nothing, nothing is promised.
    assert.match(await one.ask('WAIT', '0', '1'), /^:\d\r\n$/);
    assert.equal(await both.ask('SET', TWO, 'v'), '+OK\r\n');
    process.kill(first.primary.process.pid, 'SIGKILL');
    process.kill(first.replica?.process.pid ?? 0, 'SIGCONT');
    await first.replica?.link.takeover(MS);
    const successor = { node: instance(first.replica ?? first.primary).node, reason: 'promoting' };
    running.release('test/0', successor);
    // What is written since is another matter.
    for (const client of [one, aof, sure, multi]) {
      assert.equal(await client.ask('SET', ONE, 'v'), '+OK\r\n');
    }
    assert.equal(await both.ask('SET', TWO, 'v'), '+OK\r\n');
    assert.match(await one.ask('WAIT', '0', '50'), UNKNOWN);
    assert.match(await one.ask('WAIT', '0', '50'), UNKNOWN, 'the same writes, the same answer');
    assert.match(await both.ask('WAIT', '1', '50'), UNKNOWN);
    assert.match(await aof.ask('WAITAOF', '0', '0', '50'), UNKNOWN);
    multi.send(['MULTI'], ['WAIT', '0', '50'], ['EXEC']);
    assert.match((await multi.settled()).toString(), /\*1\r\n-OUTCOMEUNKNOWN .*WAIT/);
    assert.equal(await sure.ask('WAIT', '0', '50'), ':0\r\n', 'an earlier WAIT has answered');
    // It was said: now it is about later writes.
    for (const client of [one, aof, multi]) {
      assert.equal(await client.ask('SET', ONE, 'v'), '+OK\r\n');
      assert.equal(await client.ask('WAIT', '0', '50'), ':0\r\n');
    }
    assert.equal(await both.ask('SET', TWO, 'v'), '+OK\r\n');
    assert.equal(await both.ask('WAIT', '1', '5000'), ':1\r\n');
  });

  await t.test('a planned switch loses nothing', async () => {
    const { primary, replica } = second;
    assert.ok(replica);
    assert.equal(await other.ask('SET', TWO, 'v'), '+OK\r\n');
    assert.equal(await both.ask('SET', TWO, 'w'), '+OK\r\n');
    await running.hold('test/1', performance.now() + 4000);
    await switchPrimary(primary, replica);
    // Who waited at the old primary is told by it, and asks who owns what, before there is a word.
    const worlds = running.proxies.map(({ world }) => world);
    const lane = worlds
      .flatMap(({ topology }) => [...(topology.shards[1]?.lanes ?? [])])
      .find(({ node, state }) => node === instance(primary).node && state === 'ready');
    assert.ok(lane);
    await new Promise<void>((learned) => {
      lane.question(['CLUSTER', 'SLOTS'], (bytes) => {
        assert.ok(bytes !== null);
        assert.ok(bytes.includes(instance(replica).node));
        for (const { topology } of worlds) topology.learn(bytes);
        learned();
      });
    });
    running.release('test/1', { node: instance(replica).node, reason: SWITCHING });
    assert.equal(await other.ask('WAIT', '1', '5000'), ':1\r\n');
    assert.equal(await both.ask('SET', TWO, 'x'), '+OK\r\n');
    assert.equal(await both.ask('WAIT', '1', '5000'), ':1\r\n');
  });

  await t.test('a shard that was removed', async () => {
    assert.equal(await both.ask('SET', ONE, 'v'), '+OK\r\n');
    assert.equal(await other.ask('SET', TWO, 'v'), '+OK\r\n');
    assert.equal(await other.ask('WAIT', '1', '5000'), ':1\r\n');
    assert.equal(await both.ask('SET', TWO, 'v'), '+OK\r\n');
    const [view] = running.proxy.world.topology.known();
    assert.ok(view);
    running.apply({ shards: [{ ...view, state: 'serving', slots: [[0, 16383]] }] });
    for (const client of [both, other]) assert.equal(await client.ask('SET', ONE, 'w'), '+OK\r\n');
    assert.match(await both.ask('WAIT', '0', '50'), UNKNOWN);
    assert.equal(await other.ask('WAIT', '0', '50'), ':0\r\n', 'it was answered before');
    assert.equal(await both.ask('SET', ONE, 'x'), '+OK\r\n');
    assert.equal(await both.ask('WAIT', '0', '50'), ':0\r\n');
  });
  for (const client of clients) client.close();
});

/**
 * Shards and lanes without engines. A shard is a stream of writes, of which its replica has a part; a lane
 * knows how far the stream was at the last write on it that wrote something, as an engine's connection.
 */
interface PlainShard {
  lineage: number;
  stream: number;
  replica: number;
}
interface PlainLane extends WrittenLane {
  state: 'ready' | 'closed';
  readonly shard: PlainShard;
  at: number;
}
interface Write {
  readonly lane: PlainLane;
  readonly lineage: number;
  readonly at: number;
  lost: boolean;
}

const KINDS = [
  'nothing',
  'replicate',
  'next-lane',
  'ask',
  'leave',
  'cut',
  'planned',
  'fail',
] as const;
interface Step {
  readonly kind: 'write' | 'wait' | (typeof KINDS)[number];
  readonly shard: number;
}
const stepOf = (kind: fc.Arbitrary<Step['kind']>): fc.Arbitrary<Step> =>
  fc.record({ kind, shard: fc.nat({ max: 1 }) });
const step = fc.oneof(
  { weight: 4, arbitrary: stepOf(fc.constant('write')) },
  { weight: 3, arbitrary: stepOf(fc.constant('wait')) },
  { weight: 6, arbitrary: stepOf(fc.constantFrom(...KINDS)) },
);

test('whatever happens: no WAIT confirms a write that the replica lacks, and none is unknown without a reason', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
      const shards = [0, 1].map((): PlainShard => ({ lineage: 0, stream: 0, replica: 0 }));
      const open = (shard: PlainShard): PlainLane => ({
        state: 'ready',
        shard,
        owed: new Owed(),
        at: 0,
      });
      const all = shards.map(open);
      const lanes = [...all];
      const left = new Set<PlainLane>();
      const book = new Unconfirmed<PlainLane>((lane) => left.has(lane));
      /** Questions of others, and how far their lane was. */
      let questions: { readonly lane: PlainLane; readonly number: number; readonly at: number }[] =
        [];
      /** Every write that no WAIT has answered for, one by one. */
      let writes: Write[] = [];
      let told = false;
      const wait = (): void => {
        const asked = book.ask();
        const old = (write: Write): boolean => write.lineage !== write.lane.shard.lineage;
        if (asked === null) {
          assert.ok(told || writes.some(old), 'unknown without a reason');
          writes = writes.filter((write) => !old(write));
          told = true;
          return;
        }
        assert.ok(!told, 'the same writes, the same answer');
        let confirmed = true;
        for (const each of asked.earlier) {
          const { lineage, stream, replica } = each.shard;
          assert.equal(each.lineage, lineage, 'of a stream that is no more');
          each.place ??= { stream: `${lineage}`, offset: stream };
          if (each.place.offset <= replica) book.earlierConfirmed(each);
          else confirmed = false;
        }
        for (const lane of asked.lanes) {
          if (lane.state === 'closed' || lane.at <= lane.shard.replica) book.confirmed(lane);
          else confirmed = false;
        }
        if (!confirmed) {
          assert.ok(
            writes.some(({ at, lane }) => at > lane.shard.replica),
            'not confirmed without a reason',
          );
          return;
        }
        for (const { lane, at, lost } of writes) {
          assert.ok(!lost, 'confirmed what was lost');
          assert.ok(at <= lane.shard.replica, 'confirmed what the replica lacks');
        }
        writes = [];
      };
      const write = (lane: PlainLane, something: boolean): void => {
        if (something) lane.at = ++lane.shard.stream;
        book.wrote(lane);
        const { lineage, stream } = lane.shard;
        writes.push({ lane, lineage, at: something ? stream : 0, lost: false });
        told = false;
      };
      const answer = (): void => {
        for (const { lane, number, at } of questions) {
          if (lane.state === 'ready' && at <= lane.shard.replica) lane.owed.prove(number);
        }
        questions = [];
      };
      const end = (shard: PlainShard): PlainLane[] => {
        const ended = all.filter((lane) => lane.shard === shard && lane.state === 'ready');
        for (const lane of ended) lane.state = 'closed';
        return ended;
      };
      for (const { kind, shard: index } of steps) {
        const shard = shards[index] ?? assert.fail();
        const lane = lanes[index] ?? assert.fail();
        if (kind === 'wait') wait();
        else if (kind === 'write' || kind === 'nothing') write(lane, kind === 'write');
        else if (kind === 'replicate') {
          shard.replica = shard.stream;
          answer();
        } else if (kind === 'ask') {
          questions.push({ lane, number: lane.owed.ask(), at: lane.at });
        } else {
          if (kind === 'leave') {
            questions.push({ lane, number: lane.owed.ask(), at: lane.at });
            answer();
          }
          if (kind === 'leave' || kind === 'cut') lane.state = 'closed';
          if (kind === 'planned') {
            shard.replica = shard.stream;
            for (const each of end(shard)) left.add(each);
          }
          if (kind === 'fail') {
            for (const each of writes) {
              if (each.lane.shard === shard && each.at > shard.replica) each.lost = true;
            }
            shard.stream = shard.replica;
            shard.lineage++;
            end(shard);
          }
          lanes[index] = open(shard);
          all.push(lanes[index]);
        }
      }
      for (const each of all) assert.ok(each.owed.clients >= 0);
      book.clear();
      for (const each of all) {
        if (each.state === 'ready') assert.equal(each.owed.clients, 0);
      }
    }),
    { numRuns: 4000 },
  );
});
