/** The parts that need no server, and the small ones that need one: clocks, budgets, keys, tokens, batches, metrics. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { blockingMs, keysOf, keyText, placeOf } from './commands/keys.ts';
import { factsOf } from './commands/table.ts';
import { renewIn } from './identity/tokens.ts';
import {
  batch,
  fullJitter,
  HostMeter,
  KitError,
  lanes,
  lanesOf,
  largestKeys,
  overlappingKeys,
  RetryBudget,
  reconnectDelay,
  recordMetrics,
  report,
  TokenKeeper,
  within,
} from './index.ts';
import { LargeSketch, signature } from './lanes/learn.ts';
import { CircuitBreaker } from './retries/breaker.ts';
import { plainKinds } from './testing/clients.ts';
import { ask, startServer, type TestServer } from './testing/server.ts';
import { until } from './testing/until.ts';

describe('commands', () => {
  const keys = (...args: string[]): string[] => keysOf(factsOf(args[0] ?? ''), args, 1);

  test('keys of every shape', () => {
    assert.deepEqual(keys('GET', 'a'), ['a']);
    assert.deepEqual(keys('mset', 'a', '1', 'b', '2'), ['a', 'b']);
    assert.deepEqual(keys('DEL', 'a', 'b'), ['a', 'b']);
    assert.deepEqual(keys('BLPOP', 'a', 'b', '5'), ['a', 'b']);
    assert.deepEqual(keys('EVAL', 'return 1', '2', 'a', 'b', 'arg'), ['a', 'b']);
    assert.deepEqual(keys('ZUNIONSTORE', 'd', '2', 'a', 'b'), ['d', 'a', 'b']);
    assert.deepEqual(keys('BLMPOP', '0', '2', 'a', 'b', 'LEFT'), ['a', 'b']);
    assert.deepEqual(keys('XREAD', 'COUNT', '1', 'STREAMS', 'a', 'b', '0', '0'), ['a', 'b']);
    assert.deepEqual(keys('OBJECT', 'ENCODING', 'a'), ['a']);
    assert.deepEqual(keys('BITOP', 'AND', 'd', 'a', 'b'), ['d', 'a', 'b']);
    assert.deepEqual(keys('PING'), []);
    assert.deepEqual(keys('SOMETHING.NEW', 'a', 'b'), ['a']);
  });

  test('odd arguments give no wrong keys and no error', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('eval', 'xread', 'zunionstore', 'mset', 'blpop', 'object', 'lmpop', 'get'),
        fc.array(fc.string()),
        (name, args) => {
          for (const key of keysOf(factsOf(name), args, 0)) assert.equal(args.includes(key), true);
        },
      ),
    );
  });

  test('where a command belongs, and how long it waits', () => {
    const place = (...args: string[]): string =>
      placeOf((args[0] ?? '').toLowerCase(), factsOf(args[0] ?? ''), args, 1);
    assert.equal(place('XREAD', 'STREAMS', 'a', '0'), 'data');
    assert.equal(place('XREAD', 'BLOCK', '5', 'STREAMS', 'a', '0'), 'blocking');
    assert.equal(place('CLIENT', 'SETNAME', 'x'), 'everywhere');
    assert.equal(place('CLIENT', 'REPLY', 'OFF'), 'refused');
    assert.equal(blockingMs('blpop', ['a', '2'], 0), 2_000);
    assert.equal(blockingMs('blpop', ['a', '0'], 0), Number.POSITIVE_INFINITY);
    assert.equal(blockingMs('xread', ['BLOCK', '250', 'STREAMS', 'a', '$'], 0), 250);
    assert.equal(blockingMs('bzmpop', ['1.5', '1', 'a', 'MIN'], 0), 1_500);
  });

  test('bytes and text name the same key exactly when they are the same bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), fc.uint8Array({ maxLength: 12 }), (a, b) => {
        assert.equal(
          keyText(Buffer.from(a)) === keyText(Buffer.from(b)),
          Buffer.from(a).equals(Buffer.from(b)),
        );
      }),
    );
    assert.equal(keyText(Buffer.from('schlüssel')), 'schlüssel');
  });
});

test('large replies are learned by pattern and forgotten', () => {
  const sketch = new LargeSketch(undefined);
  assert.equal(sketch.empty, true);
  sketch.saw('get', 'report:2024:17', 5_000_000, true);
  assert.equal(sketch.expected('get', 'report:2025:3'), 5_000_000);
  assert.equal(sketch.expected('strlen', 'report:2025:3'), 0);
  assert.equal(sketch.expected('get', 'user:1'), 0);
  for (let i = 0; i < 64; i += 1) sketch.saw('get', `report:1:${i}`, 10, false);
  assert.equal(sketch.empty, true);
  assert.equal(signature('get', 'doc:0f8fad5b-d9cb-469f-a165-70867728950e'), 'get doc:#');
  for (let i = 0; i < 10_000; i += 1) sketch.saw('get', 'x'.repeat(i % 5_000), 100_000, true);
  assert.ok(sketch.size <= 4_096);
  const declared = new LargeSketch(['doc:*', /^blob/]);
  assert.ok(declared.expected('get', 'doc:1') > 0 && declared.expected('get', 'blob7') > 0);
  assert.equal(declared.expected('get', 'other'), 0);
});

describe('retries', () => {
  test('full jitter stays under its cap and spreads over the whole of it', () => {
    const delays = Array.from({ length: 2_000 }, () => fullJitter(10, 50, 1_000));
    assert.ok(
      Math.min(...delays) < 50 && Math.max(...delays) > 950 && Math.max(...delays) <= 1_000,
    );
    assert.equal(
      fullJitter(1, 50, 1_000, () => 1),
      50,
    );
  });

  test('a client comes back in proportion to how long the server was away, and a fleet spreads over it', () => {
    for (const awayMs of [300, 1_000, 4_000]) {
      const late = Array.from({ length: 2_000 }, () => {
        let at = 0;
        for (let attempt = 1; at < awayMs; attempt += 1) at += reconnectDelay(attempt);
        return (at - awayMs) / awayMs;
      }).sort((a, b) => a - b);
      assert.ok(
        (late[1_000] ?? 1) < 0.3 && (late[1_900] ?? 1) < 1,
        `${awayMs}: ${late[1_000]} ${late[1_900]}`,
      );
      assert.ok((late[1_500] ?? 0) - (late[500] ?? 0) > 0.05, 'they come in one wave');
    }
    assert.equal(
      reconnectDelay(1_000, () => 1),
      5_000,
    );
  });

  test('the budget: a burst, then a tenth of what succeeds', () => {
    const budget = new RetryBudget(0.1, 3);
    assert.deepEqual(
      [1, 2, 3, 4].map(() => budget.spend()),
      [true, true, true, false],
    );
    for (let i = 0; i < 11; i += 1) budget.earn(0);
    assert.deepEqual([budget.spend(), budget.spend()], [true, false]);
    // A tenth of what was answered in the last seconds, however much that is; and it is forgotten.
    for (let i = 0; i < 1_000; i += 1) budget.earn(5_000);
    assert.ok(budget.left >= 99, `${budget.left}`);
    budget.earn(12_000);
    assert.ok(budget.left >= 99, `${budget.left}`);
    budget.earn(40_000);
    assert.equal(budget.left, 3);
  });

  test('the breaker opens, lets one probe through, closes or opens for longer', () => {
    const running = (): boolean => false;
    const breaker = new CircuitBreaker({
      minCalls: 4,
      failureRatio: 0.5,
      openMs: 100,
      windowMs: 1_000,
    });
    for (let i = 0; i < 2; i += 1) breaker.succeeded(i);
    for (let i = 0; i < 2; i += 1) breaker.failed(i);
    assert.equal(breaker.state, 'open');
    assert.equal(breaker.refusedFor(50, running), 51);
    assert.equal(breaker.refusedFor(102, running), 0);
    assert.ok(breaker.refusedFor(103, running) > 0, 'one probe only');
    breaker.failed(110);
    assert.equal(breaker.refusedFor(110, running), 200);
    assert.equal(breaker.refusedFor(311, running), 0);
    breaker.failed(312);
    assert.equal(
      breaker.refusedFor(800, () => true),
      0,
    );
    assert.equal(breaker.refusedFor(801, running), 0, 'the probe ended without asking');
    assert.ok(breaker.refusedFor(850, running) > 0);
    assert.equal(breaker.refusedFor(902, running), 0, 'the probe may never end');
    breaker.succeeded(903);
    assert.equal(breaker.state, 'closed');
  });
});

test('an operation ends at its deadline or by its signal, and passes its result on', async () => {
  assert.equal(await within(1_000, async () => 'fine'), 'fine');
  await assert.rejects(
    within(20, () => new Promise(() => {})),
    { code: 'ERR_CLIENT_DEADLINE' },
  );
  const controller = new AbortController();
  const waiting = within(5_000, () => new Promise(() => {}), controller.signal);
  controller.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  await assert.rejects(
    within(0, async () => 1),
    KitError,
  );
});

test('this machine is measured, or it is said that it cannot be', async () => {
  const meter = new HostMeter();
  let use = meter.read();
  await until(() => {
    use = meter.read();
    return use !== null || process.platform !== 'linux';
  });
  if (use === null) return;
  assert.ok(use.cpuBusy >= 0 && use.cpuBusy <= 1);
  assert.ok(use.processCpus >= 0 && use.overMs >= 1_000);
});

describe('with a server', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer();
    await ask(server.port, 'ACL', 'SETUSER', 'app', 'on', '>old', '>next', '~*', '&*', '+@all');
  });
  after(() => server?.stop());

  for (const kind of plainKinds) {
    test(`${kind.name}: a new token reaches every live connection and every later one, nothing is dropped`, async () => {
      const redis = lanes(() => kind.make([server.port], { username: 'app', password: 'old' }), {
        small: { min: 2 },
      });
      await kind.connect(redis);
      await until(() => lanesOf(redis).every((lane) => lane.state === 'ready'));
      let fetched = 0;
      const keeper = new TokenKeeper({
        fetch: async () => {
          fetched += 1;
          return { username: 'app', password: 'next', expiresAt: Date.now() + 3_600_000 };
        },
      });
      keeper.attach(redis);
      const ids = await ask(server.port, 'CLIENT', 'LIST');
      assert.equal(await keeper.renew(), 2);
      await ask(server.port, 'ACL', 'SETUSER', 'app', '<old');
      assert.equal(await redis.set('k', 'v'), 'OK');
      const before = ids.match(/user=app/g)?.length;
      assert.equal((await ask(server.port, 'CLIENT', 'LIST')).match(/user=app/g)?.length, before);
      await Promise.all([keeper.current(), keeper.current()]);
      assert.equal(fetched, 1);
      keeper.stop();
      await ask(server.port, 'ACL', 'SETUSER', 'app', '>old');
      await kind.close(redis);
    });

    test(`${kind.name}: batches tell what was done from what was refused`, async () => {
      const redis = lanes(() => kind.make([server.port], { username: 'app', password: 'next' }));
      await kind.connect(redis);
      const outcome = await batch(redis, [
        ['SET', 'b:1', 'text'],
        ['INCR', 'b:1'],
        ['INCR', 'b:2'],
      ]);
      assert.deepEqual(
        outcome.results.map((r) => r.status),
        ['done', 'refused', 'done'],
      );
      assert.deepEqual(outcome.where('refused'), [1]);
      assert.throws(() => outcome.replies(), /of 3 commands 2 were done, 1 refused/);
      // The server answers nothing to an empty command; the replies behind it must stay whose they are.
      const [empty, after] = await Promise.all([
        batch(redis, [[]]),
        batch(redis, [['GET', 'b:2']]),
      ]);
      assert.ok(empty?.results[0]?.status !== 'done');
      assert.equal(String(after?.replies()[0]), '1');
      const stopped = await batch(
        redis,
        [
          ['INCR', 'b:1'],
          ['INCR', 'b:2'],
        ],
        { onFailure: 'stop', window: 1 },
      );
      assert.deepEqual(
        stopped.results.map((r) => r.status),
        ['refused', 'not-run'],
      );
      await ask(server.port, 'DEL', 'b:1', 'b:2');
      await kind.close(redis);
    });

    test(`${kind.name}: events, metrics and the report say the same, and nothing is built unheard`, async () => {
      const redis = lanes(() => kind.make([server.port], { username: 'app', password: 'next' }));
      await kind.connect(redis);
      const sums = new Map<string, number>();
      let seen: object = {};
      const add = (name: string) => ({
        record: (value: number, attributes: object) => {
          sums.set(name, (sums.get(name) ?? 0) + value);
          seen = attributes;
        },
        add: (value: number) => void sums.set(name, (sums.get(name) ?? 0) + value),
        addCallback: (callback: (result: { observe(value: number): void }) => void) =>
          callback({ observe: (value) => void sums.set(name, (sums.get(name) ?? 0) + value) }),
      });
      const stop = recordMetrics(
        { createHistogram: add, createCounter: add, createObservableUpDownCounter: add },
        [redis],
      );
      await redis.set('big', 'x'.repeat(300_000));
      await redis.get('big');
      assert.ok((sums.get('cinnabar.client.bytes') ?? 0) > 600_000);
      assert.ok((sums.get('db.client.operation.duration') ?? 0) > 0);
      assert.equal(Reflect.get(seen, 'server.address'), '127.0.0.1');
      assert.equal(Reflect.get(seen, 'server.port'), server.port);
      const parts = sums.get('cinnabar.client.time') ?? 0;
      assert.ok(
        Math.abs(parts - (sums.get('db.client.operation.duration') ?? 0)) < 1e-6,
        'the parts are the whole',
      );
      assert.ok((sums.get('db.client.connection.count') ?? 0) >= 1);
      stop();
      const silent = sums.get('cinnabar.client.bytes');
      await redis.get('big');
      assert.equal(sums.get('cinnabar.client.bytes'), silent);
      assert.match(report(redis), /3 calls.*largest: big 29\d\.\d KB$/);
      assert.deepEqual(
        largestKeys(redis)
          .map(({ command, key }) => `${command} ${key}`)
          .sort(),
        ['get big', 'set big'],
      );
      await kind.close(redis);
    });
  }

  test('access keys: the first that is valid, the other while one is rotated', async () => {
    const redis = new Redis({ port: server.port });
    await ask(server.port, 'ACL', 'SETUSER', 'rotated', 'on', '>two', '~*', '+@all');
    assert.equal(await overlappingKeys(redis, 'rotated', ['one', 'two']), 1);
    await assert.rejects(overlappingKeys(redis, 'rotated', ['x', 'y']), {
      code: 'ERR_CLIENT_TOKEN',
    });
    await redis.quit();
  });
});

test('a token is renewed well before its end, at a time of its own', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1_000, max: 86_400_000 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (life, random) => {
        const at = renewIn(life, random);
        assert.ok(at >= 0 && at < life);
        if (life > 400_000) assert.ok(life - at >= 180_000);
      },
    ),
  );
  for (const life of [3_600_000, 60_000]) assert.notEqual(renewIn(life, 0.1), renewIn(life, 0.9));
});
