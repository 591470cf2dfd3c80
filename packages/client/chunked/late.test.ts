/** Memory that a reader lends: whatever fails, what comes later is not written to it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { calling, chunked, lanes, lanesOf } from '../index.ts';
import { plainKinds } from '../testing/clients.ts';
import { type FaultProxy, startProxy } from '../testing/proxy.ts';
import { startServer, type TestServer } from '../testing/server.ts';
import { until } from '../testing/until.ts';

let server: TestServer;
let proxy: FaultProxy;
before(async () => {
  server = await startServer();
  proxy = await startProxy(server.port);
});
after(async () => {
  proxy?.resume();
  await proxy?.stop();
  await server?.stop();
});

const CHUNK = 20_000;

// iovalkey's is the very code of ioredis.
for (const kind of plainKinds.filter(({ name }) => name !== 'iovalkey')) {
  for (const compress of [false, true]) {
    test(`${kind.name}, ${compress ? 'deflated' : 'plain'}: replies after an abort or a deadline leave the reader's memory alone`, async (t) => {
      const redis = lanes(() => kind.make([proxy.port]), { retries: false, stallMs: false });
      t.after(async () => {
        proxy.limit(0);
        proxy.resume();
        await kind.close(redis);
      });
      await kind.connect(redis);
      const options = { chunkBytes: CHUNK, window: 8, compress };
      const value = Buffer.concat(
        Array.from({ length: 40 }, () => randomBytes(compress ? 5_000 : CHUNK)),
        40 * CHUNK,
      );
      await chunked(redis, options).set('lent', value);
      const memory = Buffer.alloc(value.length);
      const quiet = (): boolean => lanesOf(redis).every((lane) => lane.pending === 0);
      for (const how of ['abort', 'deadline'] as const) {
        const end = new AbortController();
        const view = how === 'abort' ? redis : calling(redis, { deadlineMs: 800 });
        memory.fill(0);
        // Some of it has come, some of a chunk is on its way, and the rest is asked for.
        proxy.limit(1_000_000);
        const reading = chunked(view, options).get('lent', { into: memory, signal: end.signal });
        const failed = assert.rejects(reading, {
          code: how === 'abort' ? 'ERR_CLIENT_ABORTED' : 'ERR_CLIENT_DEADLINE',
        });
        await until(() => memory.some((byte) => byte !== 0));
        proxy.stall();
        if (how === 'abort') end.abort();
        await failed;
        // It is the reader's again.
        memory.fill(7);
        assert.equal(quiet(), false, 'nothing was on its way');
        proxy.limit(0);
        proxy.resume();
        await until(quiet);
        assert.ok(
          memory.every((byte) => byte === 7),
          how,
        );
      }
      assert.ok((await chunked(redis, options).get('lent', { into: memory }))?.equals(value));
    });
  }
}
