/** Where lanes() must do as the plain client, and as its own options say. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { lanes, lanesOf } from '../index.ts';
import { plainKinds } from '../testing/clients.ts';
import { startServer, type TestServer } from '../testing/server.ts';

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

for (const kind of plainKinds) {
  describe(kind.name, () => {
    test('connect() on what is connected is refused as the plain client refuses it', async () => {
      const plain = kind.make([server.port]);
      const redis = lanes(() => kind.make([server.port]));
      const say = (client: object): Promise<string> =>
        (client as { connect(): Promise<unknown> }).connect().then(
          () => 'connected',
          (error: Error) => error.message,
        );
      const both = [plain, redis] as const;
      for (const client of both) await kind.connect(client);
      for (const client of both) await client.set('connected', 'yes');
      assert.equal(await say(redis), await say(plain));
      for (const client of both) await kind.close(client);
      if (kind.library === 'redis') return;
      const lazy = lanes(() => kind.make([server.port], { lazyConnect: true }));
      assert.equal(await say(lazy), 'connected');
      assert.match(await say(lazy), /already connect/);
      await kind.close(lazy);
    });

    test('from which size on a value is large is what the options say', async () => {
      for (const [largeBytes, bytes, is] of [
        [1_000_000, 200_000, 'small-0'],
        [10_000, 20_000, 'bulk-0'],
      ] as const) {
        const redis = lanes(() => kind.make([server.port]), { largeBytes });
        await kind.connect(redis);
        await kind.call(
          redis,
          'EVAL',
          `redis.call('SET', KEYS[1], string.rep('x', ${bytes}))`,
          '1',
          'v',
        );
        assert.equal((await redis.get('v'))?.length, bytes);
        assert.equal(lanesOf(redis)[0]?.lane, is);
        await kind.close(redis);
      }
    });
  });
}
