/** The pure parts of looking: histograms, differences, what engines say, Prometheus' text. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { DatabaseCounters, Histogram } from '../../endpoint/control-protocol.ts';
import { bucketOf as endpointBucketOf } from '../../endpoint/proxy/meter.ts';
import { clientsOf, countersOf, largeOf, logEntries, slowClient } from './engine-stats.ts';
import {
  bucketOf,
  largest,
  lowerBound,
  quantile,
  quantiles,
  since,
  upperBound,
} from './histogram.ts';
import { prometheus } from './prometheus.ts';
import { reportOf } from './report.ts';

const histogram = (values: readonly number[], unit: Histogram['unit'] = 'us'): Histogram => {
  const buckets = new Map<number, number>();
  for (const value of values) {
    const bucket = endpointBucketOf(value);
    buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1);
  }
  return {
    unit,
    count: values.length,
    sum: values.reduce((sum, value) => sum + value, 0),
    buckets: [...buckets].sort(([a], [b]) => a - b),
  };
};

const counters = (parts: Partial<DatabaseCounters> = {}): DatabaseCounters => ({
  id: 'db',
  connections: 1,
  opened: 2,
  closed: {},
  refused: {},
  bytesIn: 10,
  bytesOut: 20,
  commands: {},
  guard: {},
  ...parts,
});

test('what was slow came through the endpoint, from another engine, or from a client', () => {
  const tcp = '127.0.0.1:46310';
  assert.equal(slowClient('/run/e.sock:0', ['GET', 'k'], true), '');
  assert.equal(slowClient(tcp, ['GET', 'k'], true), tcp);
  // Nobody else gets to an engine that clients do not reach.
  assert.equal(slowClient(tcp, ['GET', 'k'], false), 'engine');
  for (const words of ['SYNC', 'psync ? -1', 'CLUSTER SYNCSLOTS ESTABLISH']) {
    assert.equal(slowClient(tcp, words.split(' '), true), 'engine');
  }
  assert.equal(slowClient(tcp, ['CLUSTER', 'SLOTS'], true), tcp);
});

test('both sides of the contract mean the same buckets', () => {
  fc.assert(
    fc.property(fc.nat(0x7fffffff), (value) => {
      const bucket = endpointBucketOf(value);
      assert.equal(bucketOf(value), bucket);
      assert.ok(lowerBound(bucket) <= value && value < Math.max(1, upperBound(bucket)));
    }),
  );
});

test('a quantile is within its bucket, a sixteenth of an octave wide', () => {
  const values = Array.from({ length: 1000 }, (_, i) => (i + 1) * 10);
  for (const [part, exact] of [
    [0.5, 5000],
    [0.99, 9900],
  ] as const) {
    const found = quantile(histogram(values), part);
    assert.ok(Math.abs(found - exact) / exact < 0.07, `${part}: ${found}`);
  }
  assert.equal(quantile(histogram([]), 0.5), 0);
});

test('no quantile is more than the largest value', () => {
  // 8900 is below the middle of its bucket (8704 to 9216).
  assert.deepEqual(quantiles(histogram([8900])), { p50Us: 8900, p99Us: 8900, maxUs: 8900 });
});

test('the largest value is never more than there was', () => {
  assert.deepEqual(
    [[], [0], [71], [5, 1_000_003]].map((values) => largest(histogram(values))),
    [0, 0, 71, 1_000_003],
  );
  const many = largest(histogram([100, 1000, 1001]));
  assert.ok(many >= 1001 && many <= 1024, `${many}`);
});

test('what came since is a difference; of another life it is everything', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(10_000)), fc.array(fc.nat(10_000)), (first, second) => {
      const before = histogram(first);
      const now = histogram([...first, ...second]);
      assert.deepEqual(since(now, before), histogram(second));
      assert.deepEqual(since(now, undefined), now);
    }),
  );
  const young = histogram([1, 2]);
  assert.deepEqual(since(young, histogram([1, 2, 3])), young);
});

test('a report of a time: rates, differences, rules and what they did', () => {
  const command = (calls: number, latency: readonly number[]) => ({
    calls,
    failed: 1,
    latency: histogram(latency),
    requestBytes: histogram([100], 'bytes'),
    replyBytes: histogram([1000], 'bytes'),
  });
  const rules = [{ command: 'keys', action: 'refuse', above: 0 }] as const;
  const report = reportOf(
    {
      at: 12_000,
      since: 0,
      counters: counters({
        opened: 7,
        closed: { idle: 3, killed: 1 },
        commands: { get: command(30, [100, 200, 300]), hgetall: command(2, [900]) },
        guard: { keys: { warned: 0, refused: 5 } },
      }),
    },
    {
      at: 10_000,
      since: 0,
      counters: counters({
        closed: { idle: 3 },
        commands: { get: command(10, [100]) },
        guard: { keys: { warned: 0, refused: 4 } },
      }),
    },
    rules,
    'endpoint',
    null,
  );
  assert.deepEqual([report.from, report.to, report.opened], [10_000, 12_000, 5]);
  assert.deepEqual(report.closed, { killed: 1 });
  assert.deepEqual(
    report.commands.map((each) => [each.command, each.calls, each.callsPerSecond, each.failed]),
    [
      ['get', 20, 10, 0],
      ['hgetall', 2, 1, 1],
    ],
  );
  assert.deepEqual(report.expensive, [
    { command: 'keys', rule: rules[0], calls: 0, warned: 0, refused: 1 },
    { command: 'hgetall', rule: null, calls: 2, warned: 0, refused: 0 },
  ]);
});

test('a report over the end of a process: what the new one counted, and nothing below zero', () => {
  const command = (calls: number, failed: number) => ({
    calls,
    failed,
    latency: histogram([100]),
    requestBytes: histogram([], 'bytes'),
    replyBytes: histogram([], 'bytes'),
  });
  const reading = (at: number, parts: Partial<DatabaseCounters>) => ({
    at,
    since: 0,
    counters: counters(parts),
  });
  const report = reportOf(
    reading(2_000, {
      opened: 1,
      closed: { idle: 1 },
      bytesIn: 5,
      commands: { get: command(4, 1) },
      guard: { keys: { warned: 1, refused: 0 } },
    }),
    reading(1_000, {
      opened: 50,
      closed: { idle: 40 },
      bytesIn: 900,
      commands: { get: command(70, 9) },
      guard: { keys: { warned: 8, refused: 0 } },
    }),
    [],
    'engines',
    null,
  );
  assert.deepEqual([report.opened, report.closed, report.bytesIn], [1, { idle: 1 }, 5]);
  assert.deepEqual(
    report.commands.map((each) => [each.command, each.calls, each.failed]),
    [['get', 4, 1]],
  );
  assert.equal(report.expensive.find((each) => each.command === 'keys')?.warned, 1);
});

test('what an engine says, as counters', () => {
  const info = [
    '# Server',
    'uptime_in_seconds:100',
    'total_connections_received:12',
    'total_net_input_bytes:1000',
    'total_net_output_bytes:2000',
    'rejected_connections:2',
    'cmdstat_get:calls=10,usec=50,usec_per_call=5.00,rejected_calls=0,failed_calls=1',
    'cmdstat_keys:calls=0,usec=0,usec_per_call=0.00,rejected_calls=3,failed_calls=0',
    'cmdstat_replconf:calls=99,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=0',
  ].join('\r\n');
  const buckets = ['calls', 10, 'histogram_usec', [1, 2, 4, 8, 8, 10]];
  const counted = countersOf('db', info, ['get', buckets], 4);
  assert.equal(counted.connections, 4);
  assert.deepEqual(counted.refused, { 'max-clients': 2 });
  assert.deepEqual(counted.guard, { keys: { warned: 0, refused: 3 } });
  assert.deepEqual(Object.keys(counted.commands), ['get', 'keys']);
  const get = counted.commands['get'];
  assert.deepEqual(
    [get?.calls, get?.failed, get?.latency.count, get?.latency.sum],
    [10, 1, 10, 50],
  );
  assert.deepEqual(
    get?.latency.buckets.map(([bucket, count]) => [lowerBound(bucket), count]),
    [
      [lowerBound(bucketOf(1)), 2],
      [3, 6],
      [6, 2],
    ],
  );
  const map = new Map([['get', new Map<string, unknown>([['histogram_usec', [1, 2]]])]]);
  assert.equal(countersOf('db', info, map, 0).commands['get']?.latency.count, 2);
});

test('clients of an engine, without our own', () => {
  const list = [
    'id=7 addr=127.0.0.1:5 name=a age=10 idle=2 flags=N db=0 user=default tot-cmds=4 cmd=get lib-name=ioredis lib-ver=5.0 tot-net-in=9 tot-net-out=8',
    'id=8 addr=/tmp/x.sock:0 name= age=1 idle=0 flags=U user=admin cmd=info',
    'id=9 addr=1.2.3.4:6 name= age=1 idle=0 flags=S user=replication cmd=replconf',
    'id=10 addr=127.0.0.1:6 name= age=1 idle=0 flags=P user=default cmd=subscribe',
    'id=11 addr=/tmp/x.sock:0 name= age=1 idle=0 flags=U user=endpoint cmd=get',
    'id=12 addr=/tmp/x.sock:0 name= age=1 idle=0 flags=U user=service cmd=config|get',
    '',
  ].join('\n');
  const clients = clientsOf('db', 'abcd', list, 100_000);
  assert.deepEqual(
    clients.map(({ id, state, openedAt, library }) => ({ id, state, openedAt, library })),
    [
      { id: 'abcd:7', state: 'open', openedAt: 90_000, library: 'ioredis 5.0' },
      { id: 'abcd:10', state: 'subscribed', openedAt: 99_000, library: '' },
    ],
  );
});

test('the command log: whose, what, how large; not what the endpoint sent', () => {
  const reply = [
    [2, 50, 70_000, ['SET', 'k', 'xxx... (1 more bytes)'], '127.0.0.1:5', 'me'],
    [1, 40, 90_000, ['GET', 'k'], '/tmp/e.sock:0', ''],
    [0, 40, 90_000, ['GET', 'k'], '[/tmp/e.sock:0]:0', ''],
  ];
  const [direct, ...ours] = logEntries(reply);
  assert.ok(direct !== undefined);
  assert.deepEqual(
    ours.map((entry) => largeOf('db', 'large-reply', entry)),
    [null, null],
  );
  const large = largeOf('db', 'large-request', direct);
  assert.deepEqual(
    [large?.key, large?.bytes, large?.at, large?.client],
    ['k', 70_000, 50_000, '127.0.0.1:5'],
  );
  assert.deepEqual(logEntries(null), []);
});

test('Prometheus: cumulative buckets, escaped labels', () => {
  const text = prometheus([
    {
      labels: { cache: 'a"b\\c\nd' },
      since: 5000,
      counters: counters({
        commands: {
          get: {
            calls: 3,
            failed: 0,
            latency: histogram([90, 240, 4000]),
            requestBytes: histogram([]),
            replyBytes: histogram([10], 'bytes'),
          },
        },
      }),
    },
  ]);
  const labels = 'cache="a\\"b\\\\c\\nd",command="get"';
  for (const line of [
    `cinnabar_command_duration_seconds_bucket{${labels},le="0.0001"} 1`,
    `cinnabar_command_duration_seconds_bucket{${labels},le="0.00025"} 2`,
    `cinnabar_command_duration_seconds_bucket{${labels},le="0.0025"} 2`,
    `cinnabar_command_duration_seconds_bucket{${labels},le="0.005"} 3`,
    `cinnabar_command_duration_seconds_bucket{${labels},le="+Inf"} 3`,
    `cinnabar_command_duration_seconds_sum{${labels}} 0.00433`,
    `cinnabar_command_duration_seconds_count{${labels}} 3`,
    'cinnabar_counting_since_seconds{cache="a\\"b\\\\c\\nd"} 5',
  ]) {
    assert.ok(text.includes(`${line}\n`), `${line}\n${text}`);
  }
  assert.ok(!text.includes('cinnabar_command_request_bytes_bucket'));
});
