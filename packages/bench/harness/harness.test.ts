import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { GOALS, type Goals, RIVAL_SHARE } from '../goals.ts';
import { judge } from './judge.ts';
import { place } from './markdown.ts';
import { interleave, measureCell, voidReason } from './pairs.ts';
import type { Bench, Measured, MetricResult } from './result.ts';
import { runBench } from './run.ts';
import { median, quantile } from './stats.ts';

test('medians and quantiles', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(quantile([1, 2, 3, 4, 5], 1), 5);
  assert.ok(Number.isNaN(median([])));
});

function only(results: readonly MetricResult[]): MetricResult {
  const [first] = results;
  assert.ok(first !== undefined);
  return first;
}

test('goals: against numbers, against rivals, and what was not measured is not met', () => {
  const samples = { ours: [10, 12, 11], haproxy: [8, 8, 8], direct: [12, 12, 12] };
  const cell = { metric: 'm', unit: 'requests/s', samples };
  const times = (value: number, than: string) => ({ is: 'at-least', value, than }) as const;
  const judged = (cells: readonly Measured[], goals: Goals) => judge(cells, goals, false);
  const yes = only(judged([cell], { m: [times(1.25, 'haproxy'), times(0.9, 'direct')] }));
  assert.equal(yes.ours, 11);
  assert.deepEqual(yes.peers, { haproxy: 8, direct: 12 });
  assert.equal(yes.goal, '>= 1.25x haproxy, >= 0.9x direct');
  assert.equal(yes.met, true);
  assert.equal(only(judged([cell], { m: [times(1.5, 'haproxy')] })).met, false);
  assert.equal(only(judged([cell], { m: [times(1, 'twemproxy')] })).met, false);
  assert.equal(only(judged([cell], {})).met, null);
  assert.equal(
    only(judged([{ ...cell, void: 'disturbed' }], { m: [times(1, 'haproxy')] })).met,
    false,
  );
  const larger = [{ is: 'at-most', value: 1, than: 'haproxy', orIfLarger: 11 }] as const;
  assert.equal(only(judged([cell], { m: larger })).met, true);
  const nothing = only(judged([{ metric: 'm', unit: 's', samples: { ours: [] } }], { m: larger }));
  assert.deepEqual([nothing.ours, nothing.met], [null, false]);
  // Nobody drops a cell by not measuring it; the quick form measures less and says so.
  const goals = { m: [times(1, 'haproxy')], other: [times(1, 'haproxy')] };
  const other = judge([cell], goals, true).find(({ metric }) => metric === 'other');
  assert.deepEqual([other?.met, other?.void], [false, 'not measured']);
  assert.equal(judged([cell], goals).length, 1);
});

test('every cell with a known share of its rivals has goals against them', () => {
  for (const [cell, shares] of Object.entries(RIVAL_SHARE)) {
    const checks = GOALS['endpoint']?.[`${cell}_get_100`] ?? [];
    for (const rival of Object.keys(shares)) {
      assert.ok(
        checks.some((c) => c.than === rival),
        `${cell} against ${rival}`,
      );
    }
  }
});

test('rounds are interleaved, and nobody always goes first', async () => {
  const calls: string[] = [];
  const side = (name: string) => ({
    name,
    measure: async () => {
      calls.push(name);
      return calls.length;
    },
  });
  const samples = await interleave([side('ours'), side('a'), side('b')], 3);
  assert.equal(calls.join(' '), 'ours a b a b ours b ours a');
  assert.deepEqual(samples['ours'], [1, 6, 8]);
});

test('a rival far below its known share makes the run void', async () => {
  const share = RIVAL_SHARE['plain_p1']?.['haproxy'] ?? 0;
  const at = (part: number) => ({ direct: [100, 100], haproxy: [share * part * 100] });
  assert.equal(voidReason('plain_p1', at(0.85)), undefined);
  assert.match(voidReason('plain_p1', at(0.75)) ?? '', /haproxy/);
  let runs = 0;
  const fixed = (name: string, value: () => number) => ({ name, measure: async () => value() });
  const haproxy = () => (runs++ < 2 ? 1 : 100 * share);
  const sides = [fixed('direct', () => 100), fixed('haproxy', haproxy)];
  const cell = await measureCell('plain_p1', sides, 2);
  assert.equal(cell.void, undefined, 'the second attempt was good');
  assert.equal(runs, 4);
});

test('a section replaces itself and leaves the rest of the page alone', () => {
  const once = place('', 'a', '## a\nfirst');
  const both = place(once, 'b', '## b\nother');
  const again = place(both, 'a', '## a\nsecond');
  assert.ok(again.startsWith('# Benchmarks'));
  assert.ok(!again.includes('first') && again.includes('second') && again.includes('other'));
  assert.equal(place(again, 'a', '## a\nsecond'), again);
});

test('a benchmark writes its page and chart, and undoes what it deferred after a failure', async () => {
  const docs = await mkdtemp(path.join(tmpdir(), 'cinnabar-bench-'));
  const undone: string[] = [];
  const bench: Bench = {
    name: 'sample',
    about: 'A sample.',
    async run(context) {
      context.defer(() => void undone.push('first'));
      context.defer(() => void undone.push('second'));
      context.engine('valkey 9.9.9');
      context.chart({
        file: 'charts/sample.svg',
        title: 'a < b',
        xLabel: 'x',
        yLabel: 'y',
        series: [
          {
            name: 's',
            points: [
              [0, 1],
              [10, 5],
            ],
          },
        ],
      });
      return [{ metric: 'm', unit: 's', samples: { ours: [1, 2, 3] } }];
    },
  };
  try {
    const report = await runBench(bench, { quick: true, docs, say: () => undefined });
    assert.deepEqual(undone, ['second', 'first']);
    assert.equal(report.host.engine, 'valkey 9.9.9');
    assert.deepEqual(Object.keys(report), ['name', 'at', 'quick', 'host', 'results']);
    const page = await readFile(path.join(docs, 'benchmarks.md'), 'utf8');
    assert.match(page, /npm run -s bench -- sample --quick --json/);
    assert.match(page, /charts\/sample.svg/);
    assert.match(await readFile(path.join(docs, 'charts/sample.svg'), 'utf8'), /^<svg .*a &lt; b/s);
    const failing: Bench = {
      ...bench,
      run: async (context) => {
        const measured = await bench.run(context);
        context.soFar(() => measured);
        throw new Error('no engine');
      },
    };
    undone.length = 0;
    const broken = await runBench(failing, { quick: true, docs, say: () => undefined });
    assert.deepEqual(undone, ['second', 'first']);
    assert.equal(broken.brokenOff, 'no engine');
    assert.deepEqual(only(broken.results).ours, 2, 'what it had measured is told');
    assert.equal(await readFile(path.join(docs, 'benchmarks.md'), 'utf8'), page, 'the page stays');
  } finally {
    await rm(docs, { recursive: true, force: true });
  }
});
