/** Order per key where several lanes, lost connections, chains and transactions could break it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { calling, type KitError, lanes, lanesOf } from '../index.ts';
import { type AnyClient, plainKinds } from '../testing/clients.ts';
import { type FaultProxy, startProxy } from '../testing/proxy.ts';
import { ask, startServer, type TestServer } from '../testing/server.ts';
import { until } from '../testing/until.ts';

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

const said = (done: Promise<unknown>): Promise<string> =>
  done.then(String, (error: KitError) => error.code);
const large = (sign: string): string => sign.repeat(150_000);

for (const kind of plainKinds) {
  describe(kind.name, () => {
    /** Lane by lane over these ports, all ready. */
    async function open(
      ports: readonly number[],
      options: Parameters<typeof lanes>[1] = {},
    ): Promise<AnyClient & object> {
      let made = 0;
      const redis = lanes(
        () => {
          made += 1;
          return kind.make([ports[Math.min(made, ports.length) - 1] as number]);
        },
        { small: { min: ports.length, max: ports.length }, ...options },
      );
      await kind.connect(redis);
      await until(() => lanesOf(redis).every((lane) => lane.state === 'ready'));
      return redis;
    }

    const passed = async (proxy: FaultProxy, run: () => Promise<unknown>): Promise<void> => {
      const before = proxy.passed;
      run();
      await until(() => proxy.passed > before);
    };

    test('what a connection took with it and is declared idempotent is made again in its order', async () => {
      const proxy = await startProxy(server.port);
      const redis = await open([proxy.port]);
      const idempotent = calling(redis, { idempotent: true });
      for (let round = 0; round < 8; round += 1) {
        proxy.mute();
        const all: Promise<string>[] = [];
        await passed(proxy, async () => {
          for (let i = 0; i < 5; i += 1) all.push(said(idempotent.set('k', `${round}:${i}`)));
        });
        const seen = redis.get('k');
        proxy.cut();
        proxy.resume();
        const newest = said(calling(redis, { idempotent: true }).set('k', `${round}:newest`));
        assert.deepEqual(await Promise.all([...all, newest]), Array(6).fill('OK'));
        assert.equal(await seen, `${round}:4`);
        assert.equal(await redis.get('k'), `${round}:newest`);
      }
      await kind.close(redis);
      await proxy.stop();
    });

    test('what waited for a key does not overtake what is made again on it', async () => {
      const proxy = await startProxy(server.port);
      const redis = await open([proxy.port, server.port]);
      await redis.set('big', large('x'));
      await redis.get('big');
      for (let round = 0; round < 5; round += 1) {
        await until(() => lanesOf(redis).every((lane) => lane.state === 'ready'));
        proxy.mute();
        const before = proxy.passed;
        const older = said(calling(redis, { idempotent: true }).set('k', 'older'));
        // Large: it may not follow to a small lane, and waits.
        const newer = said(redis.set('k', large('n')));
        const seen = redis.get('k');
        await until(() => proxy.passed > before || lanesOf(redis).every((lane) => !lane.pending));
        proxy.cut();
        proxy.resume();
        assert.deepEqual(await Promise.all([older, newer]), ['OK', 'OK']);
        assert.equal((await seen)?.[0], 'n');
        assert.equal((await redis.get('k'))?.[0], 'n');
      }
      await kind.close(redis);
      await proxy.stop();
    });

    test('a write that is to be made again later never ends up on top of a newer one', async () => {
      const [one, two] = [await startProxy(server.port), await startProxy(server.port)];
      const retries = { baseMs: 400, capMs: 400 };
      for (let round = 0; round < 3; round += 1) {
        const redis = await open([one.port, two.port], { retries, bulk: { max: 0 } });
        one.mute();
        two.mute();
        let older = Promise.resolve('');
        const asked = one.passed + two.passed;
        await passed(one, async () => {
          older = said(calling(redis, { idempotent: true }).set('k', 'older'));
        });
        // Lost once: it goes to the other lane. Lost there, too, while the first is back: it has to wait.
        one.cut();
        one.resume();
        await until(() => one.passed + two.passed > asked + 60);
        await until(() => lanesOf(redis)[0]?.state === 'ready');
        two.refuse(true);
        two.cut();
        two.resume();
        await until(() => lanesOf(redis).some((lane) => lane.state !== 'ready'));
        two.refuse(false);
        assert.equal(await redis.set('k', 'newer'), 'OK');
        assert.match(await older, /^(?:OK|ERR_CLIENT_UNKNOWN_OUTCOME)$/);
        assert.equal(await redis.get('k'), 'newer');
        await kind.close(redis);
      }
      await Promise.all([one.stop(), two.stop()]);
    });

    test('messages to a channel keep their order, large and small', async () => {
      const redis = await open([server.port, server.port, server.port], { choose: 'round-robin' });
      const got: number[] = [];
      await kind.subscribe(redis, 'news', (message) => got.push(Number.parseInt(message, 10)));
      const all = Array.from({ length: 600 }, (_, i) =>
        kind.call(redis, 'PUBLISH', 'news', `${i}${i % 20 === 0 ? ` ${large('x')}` : ''}`),
      );
      await Promise.all(all);
      await until(() => got.length === 600);
      assert.deepEqual(
        got,
        [...got].sort((a, b) => a - b),
      );
      await kind.close(redis);
    });

    test('who asks for order between all calls has it on each key as well', async () => {
      const redis = await open([server.port, server.port]);
      for (let round = 0; round < 30; round += 1) {
        await redis.set('k', 'old');
        const ordered = calling(redis, { inOrder: true });
        const first = ordered.get('other');
        const written = redis.set('k', large('n'));
        assert.equal((await ordered.get('k'))?.[0], 'n', `round ${round}`);
        await Promise.all([first, written]);
      }
      // A batch is one of them until its end: then the next may go anywhere again.
      const ordered = calling(redis, { inOrder: true });
      const done = [
        kind.multi(ordered, [
          ['set', 'k', '1'],
          ['incr', 'k'],
        ]),
        kind.pipeline(ordered, [['incr', 'k']]),
      ];
      assert.equal(await ordered.get('k'), '3');
      await Promise.all(done);
      for (let i = 0; i < 4; i += 1) await ordered.get('k');
      assert.ok(lanesOf(redis).every((lane) => lane.pending === 0));
      await kind.close(redis);
    });

    test('a transaction is on its keys until EXEC is answered', async () => {
      const redis = await open([server.port, server.port, server.port], { choose: 'round-robin' });
      const commands = Array.from({ length: 12_000 }, (_, i) => [
        'set',
        `f${i % 9}`,
        'x'.repeat(300),
      ]);
      for (let round = 0; round < 4; round += 1) {
        await redis.set('k', 'before');
        let running = true;
        const done = kind.multi(redis, [['set', 'k', 'after'], ...commands]).finally(() => {
          running = false;
        });
        const reads: Promise<string | null>[] = [];
        while (running) {
          reads.push(redis.get('k'));
          await new Promise(setImmediate);
        }
        await done;
        assert.deepEqual([...new Set(await Promise.all(reads))], ['after']);
      }
      await kind.close(redis);
    });

    test('WAIT answers for the writes of all lanes', async () => {
      const replica = await startServer(['--replicaof', `127.0.0.1 ${server.port}`]);
      const redis = await open([server.port, server.port, server.port], { choose: 'round-robin' });
      const wait = async (): Promise<number> => Number(await kind.call(redis, 'WAIT', '1', '60'));
      try {
        for (let i = 0; i < 3; i += 1) {
          process.kill(replica.pid, 'SIGCONT');
          await redis.set('k', 'there');
          await until(async () => (await wait()) === 1, 10_000);
          process.kill(replica.pid, 'SIGSTOP');
          await redis.set('k', 'not there');
          assert.equal(await wait(), 0, `write ${i}`);
        }
      } finally {
        process.kill(replica.pid, 'SIGCONT');
        await kind.close(redis);
        await replica.stop();
        await ask(server.port, 'CONFIG', 'RESETSTAT');
      }
    });
  });
}
