import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import type { Counters, Histogram } from './control-protocol.ts';
import { mergeCounters, mergeHistograms, withoutGauges } from './counters.ts';

const counts = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.nat(1000));
const histogram: fc.Arbitrary<Histogram> = fc
  .uniqueArray(fc.tuple(fc.nat(40), fc.integer({ min: 1, max: 50 })), { selector: ([b]) => b })
  .map((buckets) => ({
    unit: 'us',
    count: buckets.reduce((sum, [, count]) => sum + count, 0),
    sum: buckets.reduce((sum, [bucket, count]) => sum + bucket * count, 0),
    buckets,
  }));
const command = fc.record({
  calls: fc.nat(100),
  failed: fc.nat(100),
  latency: histogram,
  requestBytes: histogram,
  replyBytes: histogram,
});
const counters: fc.Arbitrary<Counters> = fc.record({
  since: fc.nat(),
  epoch: fc.nat(),
  databases: fc.uniqueArray(
    fc.record({
      id: fc.constantFrom('x', 'y'),
      connections: fc.nat(10),
      opened: fc.nat(100),
      closed: counts,
      refused: counts,
      bytesIn: fc.nat(),
      bytesOut: fc.nat(),
      commands: fc.dictionary(fc.constantFrom('get', 'set'), command),
      guard: fc.dictionary(
        fc.constantFrom('keys', 'sort'),
        fc.record({ warned: fc.nat(9), refused: fc.nat(9) }),
      ),
    }),
    { selector: (database) => database.id },
  ),
});

test('merging is addition: every total is the sum of the parts', () => {
  const total = (all: readonly Counters[], pick: (d: Counters['databases'][number]) => number) =>
    all.flatMap((part) => part.databases).reduce((sum, database) => sum + pick(database), 0);
  fc.assert(
    fc.property(fc.array(counters, { minLength: 1, maxLength: 4 }), (parts) => {
      const merged = mergeCounters(parts);
      assert.equal(new Set(merged.databases.map((d) => d.id)).size, merged.databases.length);
      for (const pick of [
        (d: Counters['databases'][number]) => d.opened,
        (d: Counters['databases'][number]) => d.closed['a'] ?? 0,
        (d: Counters['databases'][number]) => d.bytesIn,
        (d: Counters['databases'][number]) => d.commands['get']?.calls ?? 0,
        (d: Counters['databases'][number]) => d.commands['set']?.latency.count ?? 0,
      ]) {
        assert.equal(total([merged], pick), total(parts, pick));
      }
      assert.equal(
        total([withoutGauges(merged)], (d) => d.connections),
        0,
      );
    }),
  );
});

test('histograms add bucket by bucket', () => {
  fc.assert(
    fc.property(histogram, histogram, (a, b) => {
      const merged = mergeHistograms(a, b);
      const sum = merged.buckets.reduce((total, [, count]) => total + count, 0);
      assert.equal(sum, a.count + b.count);
      assert.equal(merged.sum, a.sum + b.sum);
      const buckets = merged.buckets.map(([bucket]) => bucket);
      assert.deepEqual(
        buckets,
        [...new Set(buckets)].sort((x, y) => x - y),
      );
    }),
  );
});
