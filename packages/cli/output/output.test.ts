import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { reasons } from '../commands/sku.ts';
import { CliError } from '../errors.ts';
import { connectionString } from './connection.ts';
import type { Sink } from './output.ts';
import { Output } from './output.ts';
import { Replies } from './replies.ts';
import { Steps } from './steps.ts';
import type { Column } from './table.ts';
import { pairs, table } from './table.ts';
import { bytes, duration, printable } from './text.ts';

class Memory implements Sink {
  text = '';
  readonly isTTY: boolean;
  readonly columns: number;
  constructor(isTTY: boolean, columns = 80) {
    this.isTTY = isTTY;
    this.columns = columns;
  }
  write(text: string): void {
    this.text += text;
  }
}

test('bytes and durations read well', () => {
  assert.deepEqual([0, 999, 1000, 1536, 999_960, 400_000_000, 25_320_000_000, 1e12].map(bytes), [
    '0 B',
    '999 B',
    '1 kB',
    '1.5 kB',
    '1 MB',
    '400 MB',
    '25.3 GB',
    '1 TB',
  ]);
  assert.deepEqual([0.4, 42, 1234, 61_000, 3_661_000, 200_000_000].map(duration), [
    '0.4 ms',
    '42 ms',
    '1.2 s',
    '1 min 1 s',
    '1 h 1 min',
    '2 d 7 h',
  ]);
  // What is rounded up to a whole larger unit is said in that unit: no 60 s, no 1000 ms.
  assert.deepEqual([9.96, 999.6, 59_960, 899_700, 3_599_800].map(duration), [
    '10 ms',
    '1.0 s',
    '1 min 0 s',
    '15 min 0 s',
    '1 h 0 min',
  ]);
});

const COLUMNS: readonly Column<readonly string[]>[] = [
  { title: 'NAME', value: (r) => r[0] ?? '', shrinkTo: 8 },
  { title: 'STATE', value: (r) => r[1] ?? '' },
  { title: 'ADDRESS', value: (r) => r[2] ?? '', shrinkTo: 10 },
];

test('a table fits its terminal and is whole in a pipe', () => {
  const row = [
    'a-very-long-name-of-a-cache-that-goes-on-and-on-for-ever',
    'Running',
    'some.host.example.org:10000',
  ];
  const wide = table(COLUMNS, [row], null);
  assert.ok(wide[1]?.includes(row[0] ?? '-') && wide[1].includes(row[2] ?? '-'));
  const narrow = table(COLUMNS, [row], 50);
  for (const line of narrow) assert.ok(line.length <= 50, line);
  assert.match(narrow[1] ?? '', /… {2}Running {2}/);
});

test('any table of any text fits 80 columns', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(
          fc.string({ maxLength: 90 }),
          fc.string({ maxLength: 20 }),
          fc.string({ maxLength: 90 }),
        ),
      ),
      (rows) => {
        for (const line of table(COLUMNS, rows, 80)) assert.ok(line.length <= 80);
      },
    ),
  );
});

test('names cannot write to the terminal', () => {
  assert.equal(printable('a\u001b[2Jb\u0007'), 'a\u{fffd}[2Jb\u{fffd}');
  assert.equal(pairs([['Name', '\u009b31m']]).join(), 'Name  \u{fffd}31m');
  // A line that it is not given, and letters turned round so that it reads as another name.
  assert.equal(pairs([['Tags', 'a\nState  Running\u202e']]).length, 1);
  assert.equal(
    table(COLUMNS, [['a\nb\u2066\u2028c', '', '']], null)[1]?.trimEnd(),
    'a\u{fffd}b\u{fffd}\u{fffd}c',
  );
  const json = new Memory(true);
  const value = { tag: 'a\nb\u202e\u009b', list: [1] };
  new Output(json, json, {}, true).data(value);
  assert.match(json.text, /"a\\nb\\u202e\\u009b"/);
  assert.deepEqual(JSON.parse(json.text), value);
});

test('colours only on a terminal, and never with NO_COLOR', () => {
  const paint = (tty: boolean, env: NodeJS.ProcessEnv): string =>
    new Output(new Memory(tty), new Memory(tty), env, false).paint('red', 'x');
  assert.equal(paint(true, {}), '\u001b[31mx\u001b[39m');
  assert.equal(paint(false, {}), 'x');
  assert.equal(paint(true, { NO_COLOR: '1' }), 'x');
  assert.equal(paint(true, { NO_COLOR: '' }), '\u001b[31mx\u001b[39m');
  assert.equal(paint(true, { TERM: 'dumb' }), 'x');
});

test('errors: code, what, what to do; JSON when asked', () => {
  const error = new CliError('refused', 'no-room', 'It does not fit.', 'Take a smaller one.');
  const plain = new Memory(false);
  new Output(plain, plain, {}, false).error(error);
  assert.equal(plain.text, 'error: It does not fit. (no-room)\n  Take a smaller one.\n');
  const json = new Memory(false);
  const ended = new CliError(
    'operationFailed',
    'Canceled',
    'Canceled by api-token.',
    'See events.',
  );
  const canceled = new Memory(false);
  new Output(canceled, canceled, {}, false).error(ended);
  assert.equal(canceled.text, 'Canceled by api-token. (Canceled)\n  See events.\n');
  new Output(json, json, {}, true).error(error);
  assert.deepEqual(JSON.parse(json.text), {
    error: { code: 'no-room', message: 'It does not fit.', remedy: 'Take a smaller one.' },
  });
});

test('advice names the command as it has to be typed: under npm and npx it is not on PATH', () => {
  const said = (env: NodeJS.ProcessEnv): string => {
    const all = new Memory(false);
    const output = new Output(all, all, env, false);
    output.note('Stop it: cinnabar down');
    output.warn('it has no database. Complete it: cinnabar create x');
    output.rows([], COLUMNS, 'No cache yet. Make one: cinnabar create my-cache');
    output.error(new CliError('notRunning', 'a', 'Wait: "cinnabar status".', 'cinnabar up --help'));
    return all.text;
  };
  for (const by of ['npx', 'start']) {
    const text = said({ npm_lifecycle_event: by });
    assert.equal(text.match(/npx cinnabar /g)?.length, 5, text);
    assert.doesNotMatch(text, /(?<!npx )cinnabar/);
  }
  assert.doesNotMatch(said({ npm_lifecycle_event: 'test' }), /npx/);
  const json = new Memory(false);
  new Output(json, json, { npm_lifecycle_event: 'npx' }, true).error(
    new CliError('notRunning', 'a', 'b', 'Start it: cinnabar up'),
  );
  assert.equal(JSON.parse(json.text).error.remedy, 'Start it: npx cinnabar up');
  const npx = new Output(json, json, { npm_lifecycle_event: 'npx' }, false);
  for (const path of ['/opt/cinnabar file', '~/my-cinnabar up', 'node bin/cinnabar up']) {
    assert.equal(npx.typed(path), path);
  }
  assert.equal(npx.typed('npx cinnabar up'), 'npx cinnabar up');
  assert.equal(npx.typed('Usage: cinnabar [options]'), 'Usage: npx cinnabar [options]');
  assert.equal(
    npx.typed('sudo cinnabar service install --account cinnabar --home /x'),
    'sudo npx cinnabar service install --account cinnabar --home /x',
  );
});

test('steps: one line each in a pipe, no spinner, each end once', () => {
  const err = new Memory(false);
  const steps = new Steps(new Output(new Memory(false), err, {}, false));
  steps.show({ id: 'a', title: 'Engine', state: 'running', detail: '1 of 8 MB' });
  steps.show({ id: 'a', title: 'Engine', state: 'done', detail: 'valkey 9.1.2', ms: 1234 });
  steps.show({ id: 'a', title: 'Engine', state: 'done', detail: 'valkey 9.1.2', ms: 1234 });
  steps.show({ id: 'b', title: 'Ports', state: 'failed', detail: 'taken', ms: 3 });
  steps.end();
  const lines = err.text.split('\n');
  assert.equal(lines.length, 3, err.text);
  assert.match(lines[0] ?? '', /✓ Engine +valkey 9\.1\.2 +1\.2 s$/);
  assert.match(lines[1] ?? '', /✗ Ports +taken +3\.0 ms$/);
  assert.ok(!err.text.includes('\u001b') && !err.text.includes('\r'));
});

test('steps: in a pipe one that takes long says so before it ends', async () => {
  const said = Promise.withResolvers<void>();
  class Watched extends Memory {
    override write(text: string): void {
      super.write(text);
      said.resolve();
    }
  }
  const err = new Watched(false);
  const steps = new Steps(new Output(new Memory(false), err, {}, false));
  const engine = { id: 'a', title: 'Engine' };
  steps.show({ ...engine, state: 'running' });
  steps.show({ ...engine, state: 'running', detail: 'fetching valkey-server' });
  assert.equal(err.text, '');
  const alive = setInterval(() => {}, 100);
  await said.promise;
  clearInterval(alive);
  assert.match(err.text, /^ {2}… Engine +fetching valkey-server +(?:1\.\d s|999 ms)\n$/);
  steps.show({ ...engine, state: 'done', detail: 'valkey 9.1.2', ms: 1234 });
  assert.equal(err.text.split('\n').length, 3, err.text);
});

test('each word under HERE is explained once, with how many SKUs it is about', () => {
  const row = (name: string, sizeInGB: number, code: string | null) => ({
    name,
    sizeInGB,
    retired: false,
    sizing: null,
    fits: code === null,
    reason: code === null ? null : { code, message: `${name} is no choice.` },
  });
  assert.deepEqual(
    reasons([
      row('A', 3, null),
      row('B', 1, 'UsedMemoryTooLarge'),
      row('C', 2, 'UsedMemoryTooLarge'),
      row('D', 5, 'InsufficientCapacity'),
      row('E', 4, 'InsufficientCapacity'),
      row('F', 6, 'FlashNotBuilt'),
    ]),
    [
      '"holds more" (2 SKUs). The largest of them: C is no choice.',
      '"no room" (2 SKUs). The smallest of them: E is no choice.',
      'F is no choice.',
    ],
  );
});

test('replies that are errors are counted, and the mark between them never shows', () => {
  const mark = '\nMARK\n';
  const printed = [
    'OK',
    'ERR unknown command\n',
    'ERR a value',
    'a\nERR b\n',
    'WRONGTYPE of\n',
    '',
  ];
  const text = Buffer.from(printed.map((reply) => reply + mark).join(''));
  for (const size of [1, 3, 7, text.length]) {
    const replies = new Replies(mark);
    let shown = '';
    for (let at = 0; at < text.length; at += size) {
      shown += replies.take(text.subarray(at, at + size)).toString();
    }
    shown += replies.end().toString();
    assert.equal(shown, printed.map((reply) => `${reply}\n`).join(''));
    assert.equal(replies.failed, 2);
  }
});

test('steps on a terminal keep within its width', () => {
  const err = new Memory(true, 60);
  const steps = new Steps(new Output(err, err, { NO_COLOR: '1' }, false));
  steps.show({ id: 'a', title: 'Engine', state: 'done', detail: 'x'.repeat(200), ms: 5 });
  steps.end();
  assert.ok(err.text.trimEnd().length <= 60, err.text);
});

test('the key in a connection string is percent-encoded', () => {
  const cluster = { properties: { hostName: 'localhost' } } as never;
  const database = { properties: { port: 10000, clientProtocol: 'Encrypted' } } as never;
  const url = connectionString(cluster, database, 'a+b/c=');
  assert.equal(url, 'rediss://default:a%2Bb%2Fc%3D@localhost:10000');
  assert.equal(decodeURIComponent(new URL(url).password), 'a+b/c=');
});
