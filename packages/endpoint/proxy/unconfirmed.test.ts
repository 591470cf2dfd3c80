/** WAIT after a failure: what was acknowledged and may be lost is said, whatever was written since. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { keySlot } from '../../resp/index.ts';
import { SWITCHING } from '../control-protocol.ts';
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
    await running.hold('test/1', Date.now() + 4000);
    await switchPrimary(primary, replica);
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

/** Shards and lanes without engines: a lane is of the lineage that it was opened in. */
interface PlainLane extends WrittenLane {
  kind: 'small' | 'bulk';
  state: 'ready' | 'closed';
  shard: { lineage: number };
}

type Step =
  | { readonly kind: 'write' | 'next-lane' | 'planned' | 'failure'; readonly shard: number }
  | { readonly kind: 'wait'; readonly enough: boolean };

const shardIndex = fc.nat({ max: 2 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('write' as const), shard: shardIndex }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('next-lane' as const, 'planned' as const, 'failure' as const),
      shard: shardIndex,
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), enough: fc.boolean() }) },
);

test('whatever happens: no WAIT passes over a lost write, and none is unknown without a new one', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const shards = [0, 1, 2].map(() => ({ lineage: 0 }));
      let bulk = false;
      const open = (shard: { lineage: number }): PlainLane => ({
        kind: bulk ? 'bulk' : 'small',
        state: 'ready',
        shard,
      });
      const lanes = shards.map(open);
      const book = new Unconfirmed<PlainLane>();
      /** Every write that no WAIT has answered for, one by one. */
      let writes: { readonly shard: { lineage: number }; readonly lineage: number }[] = [];
      let told = false;
      for (const each of steps) {
        if (each.kind === 'wait') {
          const asked = book.ask();
          const lost = writes.some(({ shard, lineage }) => shard.lineage !== lineage);
          assert.equal(asked === null, lost || told);
          if (asked === null) {
            writes = writes.filter(({ shard, lineage }) => shard.lineage === lineage);
            told = true;
            continue;
          }
          for (const { shard } of writes) {
            assert.ok(asked.some((lane) => lane.shard === shard));
          }
          for (const lane of asked) if (each.enough) book.confirmed(lane);
          if (each.enough) writes = [];
          continue;
        }
        const shard = shards[each.shard] ?? assert.fail();
        const lane = lanes[each.shard] ?? assert.fail();
        if (each.kind === 'write') {
          book.wrote(lane);
          writes.push({ shard, lineage: shard.lineage });
          told = false;
          continue;
        }
        // The one before may stay, as a spare one, if nothing happened to its engine.
        if (each.kind !== 'next-lane') lane.state = 'closed';
        if (each.kind === 'failure') shard.lineage++;
        bulk = !bulk;
        lanes[each.shard] = open(shard);
      }
    }),
    { numRuns: 2000 },
  );
});
