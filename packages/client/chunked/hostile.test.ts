/** Chunked values beside sources that never go on, servers that are full or evict, and replies that are late. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { chunked, type KitError, lanes } from '../index.ts';
import { type AnyClient, plainKinds } from '../testing/clients.ts';
import { startProxy } from '../testing/proxy.ts';
import { ask, startServer, type TestServer } from '../testing/server.ts';
import { until } from '../testing/until.ts';
import { LEDGER_KEY } from './ledger.ts';

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

for (const kind of plainKinds) {
  describe(kind.name, () => {
    let redis: AnyClient & object;
    before(async () => {
      redis = lanes(() => kind.make([server.port]));
      await kind.connect(redis);
    });
    after(async () => {
      await ask(server.port, 'CONFIG', 'SET', 'maxmemory', '0');
      await kind.close(redis);
    });

    test('a signal ends a write whose source never goes on, and its source is told', async () => {
      const values = chunked(redis, { chunkBytes: 1_000 });
      const ending = new AbortController();
      let told = false;
      const source = {
        parts: 3,
        [Symbol.asyncIterator]() {
          return this;
        },
        next() {
          this.parts -= 1;
          if (this.parts > 0) return Promise.resolve({ value: randomBytes(2_500), done: false });
          setImmediate(() => ending.abort());
          return new Promise<IteratorResult<Uint8Array>>(() => {});
        },
        return() {
          told = true;
          return Promise.resolve({ value: undefined, done: true as const });
        },
      };
      await assert.rejects(
        values.set('stuck', source as AsyncIterable<Uint8Array>, { signal: ending.signal }),
        { code: 'ERR_CLIENT_ABORTED' },
      );
      assert.equal(told, true);
      assert.equal(await values.get('stuck'), null);
    });

    test('a signal ends a write to a server that says nothing', async () => {
      const values = chunked(redis, { chunkBytes: 1_000 });
      for (const parts of [1, 30]) {
        // Behind a pause of all commands that one waits, too: so it ends by itself.
        await ask(server.port, 'CLIENT', 'PAUSE', '1500', 'ALL');
        const signal = AbortSignal.timeout(50);
        const began = performance.now();
        await assert.rejects(values.set('silent', randomBytes(parts * 900), { signal }), {
          code: 'ERR_CLIENT_ABORTED',
        });
        assert.ok(performance.now() - began < 1_000, 'at its signal, not at the end of a deadline');
        await ask(server.port, 'PING');
      }
    });

    test('with a signal that is aborted nothing is begun', async () => {
      const values = chunked(redis, { chunkBytes: 1_000 });
      await values.set('whole', randomBytes(3_000));
      await values.set('small', 'abc');
      const signal = AbortSignal.abort();
      for (const run of [
        () => values.set('empty', '', { signal }),
        () => values.get('small', { signal }),
        () => values.get('none', { signal }),
        () => values.getRange('whole', 0, 10, { signal }),
        () => values.stream('whole', { signal }),
        () => values.info('whole', { signal }),
        () => values.expire('whole', 1_000, { signal }),
        () => values.delete('whole', { signal }),
        () => values.collect({ signal }),
      ])
        await assert.rejects(run, { code: 'ERR_CLIENT_ABORTED' }, String(run));
      assert.equal((await values.get('whole'))?.length, 3_000);
      assert.equal(await values.get('empty'), null);
    });

    test('a server that is full lets go of values, of their lives, and of what dead writers left', async () => {
      const values = chunked(redis, { chunkBytes: 1_000, graceMs: 0, tornMs: 0 });
      await ask(server.port, 'FLUSHALL');
      for (const key of ['goes', 'ends', 'stays']) await values.set(key, randomBytes(9_000));
      const dead = { key: 'dead', at: 1, made: { id: 'dead', chunks: 2 } };
      await kind.call(redis, 'HSET', LEDGER_KEY, 'dead', JSON.stringify(dead));
      await kind.call(redis, 'SET', 'cc:dead:1', 'left');
      await ask(server.port, 'CONFIG', 'SET', 'maxmemory', '1mb');
      try {
        await assert.rejects(values.set('more', randomBytes(9_000)), /OOM/);
        assert.equal(await values.delete('goes'), true);
        assert.equal(await values.expire('ends', 20), true);
        assert.equal(await values.collect(), 1);
        await until(async () => (await values.get('ends')) === null);
        const left = async (): Promise<number> => Number(await kind.call(redis, 'DBSIZE'));
        // 'stays' with its manifest and its nine chunks; those of the others end with them.
        await until(async () => (await left()) === 10);
      } finally {
        await ask(server.port, 'CONFIG', 'SET', 'maxmemory', '0');
      }
    });

    test('a renewal whose reply is late is no sign that somebody took the writer for dead', async () => {
      const proxy = await startProxy(server.port);
      const slow = lanes(() => kind.make([proxy.port]), {
        deadlines: { slowMs: 100, bulkMs: 5_000 },
      });
      await kind.connect(slow);
      const values = chunked(slow, { chunkBytes: 1_000, graceMs: 0, tornMs: 300 });
      const note = (): Promise<string> => ask(server.port, 'HVALS', LEDGER_KEY);
      await ask(server.port, 'DEL', LEDGER_KEY);
      const source = (async function* () {
        yield randomBytes(4_000);
        await until(async () => (await note()).includes('late'));
        const first = await note();
        proxy.mute();
        // It arrives, and its reply does not in time.
        await until(async () => (await note()) !== first);
        const muted = performance.now();
        await until(() => performance.now() - muted > 150);
        proxy.resume();
        yield randomBytes(1_000);
      })();
      assert.equal((await values.set('late', source)).size, 5_000);
      assert.equal((await values.get('late'))?.length, 5_000);
      await kind.close(slow);
      await proxy.stop();
    });

    test('notes by count and by the clock do not take each other for somebody else', async () => {
      const values = chunked(redis, { chunkBytes: 256, graceMs: 0, tornMs: 150, window: 64 });
      const value = randomBytes(256 * 4_096 * 3 + 5);
      for (let i = 0; i < 3; i += 1) await values.set('many', value);
      assert.deepEqual(await values.get('many'), value);
      assert.equal(await values.delete('many'), true);
    });

    test('notes that were evicted: the value counts if its chunks are there, and only then', async () => {
      const values = chunked(redis, { chunkBytes: 1_000, graceMs: 0 });
      for (const chunksToo of [false, true]) {
        const evict = async (): Promise<void> => {
          await ask(server.port, 'DEL', LEDGER_KEY);
          if (!chunksToo) return;
          for (const key of (await kind.call(redis, 'KEYS', 'cc:*')) as string[])
            await redis.del(String(key));
        };
        await ask(server.port, 'FLUSHALL');
        const source = (async function* () {
          yield randomBytes(4_000);
          await until(async () => Number(await kind.call(redis, 'DBSIZE')) >= 4);
          await evict();
          yield randomBytes(500);
        })();
        const done = await values.set('k', source).then(
          ({ size }) => size,
          (error: KitError) => error.code,
        );
        assert.equal(done, chunksToo ? 'ERR_CLIENT_CHUNK_TORN' : 4_500);
        assert.equal((await values.get('k'))?.length, chunksToo ? undefined : 4_500);
      }
    });
  });
}
