/** Starts that cannot be: each ends with a named reason and what to do, and leaves nothing running. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openDatabase } from '../store/index.ts';
import { OPERATION_DEADLINE_MS } from './limits.ts';
import { isAlive, processesUnder } from './processes.ts';
import { eventually, type Fatal, Service } from './service.ts';

async function fatal(service: Service): Promise<Fatal> {
  const answer = await service.boot();
  assert.ok('code' in answer, 'it started');
  assert.ok(answer.message.length > 0);
  return answer;
}

test('two control processes on one folder: the second one leaves the first alone', async (t) => {
  const first = await Service.start(t);
  await first.create('mine', { ha: false });
  // As one that is ready for a while.
  utimesSync(path.join(first.home, 'control.json'), 1, 1);
  const second = new Service({ home: first.home, runDir: first.options.runDir });
  t.after(() => second.close());
  const answer = await fatal(second);
  assert.equal(answer.code, 'home-in-use');
  assert.match(answer.message, /home/);
  const [shard] = await first.healthy('mine');
  assert.equal(shard?.shard.phase, 'serving');
});

test('the port of the API is taken', async (t) => {
  const stranger = createServer();
  await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
  t.after(() => stranger.close());
  const address = stranger.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const service = new Service({ apiPort: port });
  t.after(() => service.close());
  const answer = await fatal(service);
  assert.equal(answer.code, 'port-in-use');
  assert.match(answer.message + answer.remedy, new RegExp(`${port}.*--api-port`, 's'));
  assert.deepEqual(processesUnder(service.scratch), []);
});

test('an engine that is none', async (t) => {
  const service = new Service({ engine: '/bin/true' });
  t.after(() => service.close());
  const answer = await fatal(service);
  assert.equal(answer.code, 'not-an-engine');
  assert.deepEqual(processesUnder(service.scratch), []);
});

test('a damaged store: refused by name, left as it is', async (t) => {
  const service = new Service();
  t.after(() => service.close());
  const file = path.join(service.home, 'store.db');
  const text = 'this is not a database, '.repeat(500);
  writeFileSync(file, text);
  const answer = await fatal(service);
  assert.equal(answer.code, 'store-damaged');
  assert.ok(answer.message.includes(file), answer.message);
  assert.equal(readFileSync(file, 'utf8'), text);
  assert.deepEqual(processesUnder(service.scratch), []);
});

test('a store with a damaged page inside, and none beside the files of caches', async (t) => {
  const service = await Service.start(t);
  await service.create('mine', { ha: false });
  await service.down();
  const file = path.join(service.home, 'store.db');
  const whole = readFileSync(file);
  writeFileSync(file, Buffer.from(whole).fill(0x5a, 4 * 4096, 9 * 4096));
  assert.equal((await fatal(service)).code, 'store-damaged');
  assert.deepEqual(processesUnder(service.scratch), []);
  for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true });
  const answer = await fatal(service);
  assert.equal(answer.code, 'store-missing');
  assert.ok(!existsSync(file), 'a new store was made');
  assert.deepEqual(processesUnder(service.scratch), []);
  writeFileSync(file, '');
  assert.equal((await fatal(service)).code, 'store-damaged');
  assert.equal(readFileSync(file, 'utf8'), '');
  writeFileSync(file, whole);
  await service.up();
  await service.healthy('mine');

  // Engines live now, and the store is none, young, or older than one of them: nothing is ended.
  await service.create('second', { ha: false });
  const pids = (await Promise.all(['mine', 'second'].map((name) => service.shards(name))))
    .flat()
    .flatMap((shard) => shard.instances.map(({ instance }) => instance.process?.pid ?? 0));
  await service.killControl();
  const suffixes = ['', '-wal', '-shm'];
  const now = suffixes.map((suffix) => readFileSync(file + suffix));
  const young = path.join(service.scratch, 'young.db');
  openDatabase(young).close();
  for (const [text, code] of [
    ['', 'store-damaged'],
    [readFileSync(young), 'store-damaged'],
    [whole, 'store-older'],
  ] as const) {
    for (const suffix of suffixes) rmSync(file + suffix, { force: true });
    writeFileSync(file, text);
    assert.equal((await fatal(service)).code, code);
    assert.ok(pids.every(isAlive), `engines were ended before ${code}`);
  }
  for (const [i, suffix] of suffixes.entries()) writeFileSync(file + suffix, now[i] ?? '');
  await service.up();
  await service.healthy('mine');
  await service.healthy('second');
  assert.ok(pids.every(isAlive));
  const { body } = await service.call('GET', '/cinnabar/events', undefined, { query: '' });
  const told = (body.value as { reason: string; message: string }[]).find(
    (each) => each.reason === 'control-took-over',
  );
  assert.match(told?.message ?? '', /took over 2 engines/);
});

interface Ran {
  readonly code: number;
  readonly text: string;
}

/** `cinnabar` as a user types it. */
function cinnabar(
  service: Service,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Ran> {
  const main = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));
  const { promise, resolve } = Promise.withResolvers<Ran>();
  const place = {
    PATH: process.env['PATH'],
    HOME: process.env['HOME'],
    XDG_CACHE_HOME: path.dirname(path.dirname(service.options.engineCache)),
    XDG_RUNTIME_DIR: path.join(service.scratch, 'x'),
    CINNABAR_HOME: service.home,
    NO_COLOR: '1',
    ...env,
  };
  mkdirSync(place.XDG_RUNTIME_DIR, { recursive: true, mode: 0o700 });
  execFile(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', main, ...args],
    { env: place },
    (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), text: `${out}${err}` }),
  );
  return promise;
}

test('no engine, and no network to fetch one', async (t) => {
  const service = new Service();
  t.after(() => service.close());
  const empty = path.join(service.scratch, 'empty');
  mkdirSync(empty);
  const dead = 'http://127.0.0.1:9';
  const ran = await cinnabar(service, ['up', '--api-port', '0', '--https-port', '0'], {
    PATH: '/usr/bin:/bin',
    XDG_CACHE_HOME: empty,
    http_proxy: dead,
    https_proxy: dead,
  });
  assert.equal(ran.code, 78, ran.text);
  assert.match(ran.text, /\(no-engine\)/);
  assert.match(ran.text, /cannot read the package lists/);
  assert.match(ran.text, /--engine|apt|install/);
  assert.deepEqual(processesUnder(service.scratch), []);
});

test('a data folder that cannot be written', async (t) => {
  const service = new Service();
  t.after(() => service.close());
  // Also for root, to whom no mode means anything: a folder under a file, and one under /proc.
  const file = path.join(service.scratch, 'file');
  writeFileSync(file, '');
  chmodSync(file, 0o400);
  for (const home of [path.join(file, 'home'), '/proc/cinnabar']) {
    const ran = await cinnabar(service, ['up'], { CINNABAR_HOME: home });
    assert.ok(ran.code > 0, `${ran.code} ${ran.text}`);
    assert.ok(ran.text.includes(home), ran.text);
    assert.match(ran.text, /\([A-Za-z-]+\)/);
  }
});

/** Exit code 2: the command line; 5: refused; 3: not there; 4: in conflict. Codes: docs/exit-codes.md. */
const LINES: readonly (readonly [line: string, code: number, says: RegExp])[] = [
  ['create bad--name', 2, /bad-name/],
  ['create fine --polcy NoCluster', 2, /--polcy/],
  ['create fine --policy Sharded', 2, /Sharded/],
  ['create fine --port 99999', 2, /99999/],
  ['create fine --port many', 2, /many/],
  ['create fine --sku Balanced_B7', 5, /Balanced_B7/],
  ['create fine --sku FlashOptimized_A250', 11, /flash|disk|FlashNotBuilt/i],
  ['create mine', 4, /name-taken/],
  ['create fine extra', 2, /argument/],
  ['show nobody', 3, /no-such-cache/],
  ['keys regenerate mine --key Third', 2, /Third/],
  ['frobnicate', 2, /frobnicate/],
  ['update mine --eviction Sometimes', 2, /Sometimes/],
  ['delete nobody --yes', 3, /no-such-cache/],
];

test('the command line: a code and a reason for each mistake, and nothing changed', async (t) => {
  const service = await Service.start(t);
  await service.create('mine', { ha: false });
  const before = await service.call('GET', '/cinnabar/operations');
  for (const [line, code, says] of LINES) {
    const ran = await cinnabar(service, line.split(' '));
    assert.equal(ran.code, code, `${line}: ${ran.text}`);
    assert.match(ran.text, says, line);
  }
  const after = await service.call('GET', '/cinnabar/operations');
  const ids = (answer: typeof after) => answer.body.value.map((each: { id: string }) => each.id);
  assert.deepEqual(ids(after), ids(before), 'an operation was begun');

  process.kill(service.pid, 'SIGSTOP');
  const still = await cinnabar(service, ['list']).finally(() =>
    process.kill(service.pid, 'SIGCONT'),
  );
  assert.equal(still.code, 1, still.text);
  assert.match(still.text, new RegExp(`\\(control-stopped\\)\\n.*kill -CONT ${service.pid}\\b`));
  assert.equal((await cinnabar(service, ['list'])).code, 0);
});

test('the port of an engine is taken: a start takes another one, and says so', async (t) => {
  const service = await Service.start(t);
  await service.create('held', { ha: false });
  const portOf = async () => (await service.shards('held'))[0]?.instances[0]?.instance.port ?? 0;
  const port = await portOf();
  await service.down();
  const stranger = createServer();
  await new Promise<void>((listening) => stranger.listen(port, '127.0.0.1', listening));
  t.after(() => stranger.close());
  await service.up();
  assert.match(service.steps.at(-1) ?? '', /^serving done 1 of 1$/);
  assert.notEqual(await portOf(), port);
  const events = await cinnabar(service, ['events', 'held']);
  assert.match(events.text, new RegExp(`port-taken .*\\b${port}\\b.*\\b${process.pid}\\b`));
  const doctor = await cinnabar(service, ['doctor']);
  assert.doesNotMatch(doctor.text, /without a control process|by another program/);
});

test('a start that found its files gone and its port taken: list says both', async (t) => {
  const service = await Service.start(t);
  await service.create('unlucky', { ha: false });
  const port = await service.port('unlucky');
  await service.down();
  const files = globSync(path.join(service.home, 'data/*/*/dump.rdb'));
  assert.equal(files.length, 1);
  for (const file of files) rmSync(file);
  let told = 0;
  const stranger = createServer((socket) => {
    told += 1;
    socket.destroy();
  });
  await new Promise<void>((listening) => stranger.listen(port, '127.0.0.1', listening));
  t.after(() => stranger.close());
  await service.up();
  const list = () => cinnabar(service, ['list']);
  const held = await eventually('said', OPERATION_DEADLINE_MS, async () => {
    const { text } = await list();
    return /Unreachable/.test(text) && /started empty/.test(text) ? text : null;
  });
  assert.match(held, new RegExp(`warning: unlucky: .*${port}`));
  const refused = await cinnabar(service, ['connect', 'unlucky', 'GET', 'a']);
  assert.deepEqual([refused.code, told], [1, 0], refused.text);
  assert.match(refused.text, /\(unreachable\)\n.*cinnabar connect unlucky/);
  stranger.close();
  await eventually('reachable again', OPERATION_DEADLINE_MS, async () =>
    /DataLost/.test((await list()).text) ? true : null,
  );
});
