/**
 * The case of Azure's guide on timeouts: a client asks for a large value A and then for a small value
 * B on the same connection, over a slow link, with a timeout of one second. B times out, though the
 * server answered it within microseconds: A's bytes were in front of it.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { DeadlineError, lanes, observe } from '../index.ts';
import { plainKinds } from '../testing/clients.ts';
import { type FaultProxy, startProxy } from '../testing/proxy.ts';
import { ask, startServer, type TestServer } from '../testing/server.ts';

const A_BYTES = 6 * 1024 * 1024;
const LINK_BYTES_PER_SECOND = 2 * 1024 * 1024;
const TIMEOUT_MS = 1_000;

let server: TestServer;
let proxy: FaultProxy;
before(async () => {
  server = await startServer();
  proxy = await startProxy(server.port);
  await ask(server.port, 'SET', 'B', 'small');
  await ask(server.port, 'SETRANGE', 'A', String(A_BYTES - 1), 'x');
});
after(async () => {
  await proxy?.stop();
  await server?.stop();
});

for (const kind of plainKinds) {
  describe(kind.name, () => {
    test('the plain client with telemetry alone: B is late, and the error names A', async (t) => {
      t.after(() => proxy.cut());
      proxy.limit(LINK_BYTES_PER_SECOND);
      const redis = observe(kind.make([proxy.port]), { timeoutMs: TIMEOUT_MS });
      await kind.connect(redis);
      await redis.get('none');
      const large = redis.get('A').catch((error: unknown) => error);
      const error = await redis.get('B').then(
        () => assert.fail('B should be late'),
        (failure: unknown) => failure,
      );
      assert.ok(error instanceof DeadlineError);
      const { lateness } = error;
      assert.equal(lateness.cause, 'behind-others');
      assert.equal(lateness.inFront[0]?.command, 'GET');
      assert.equal(lateness.inFront[0]?.key, 'A');
      assert.ok((lateness.inFront[0]?.announced ?? 0) > A_BYTES);
      assert.ok((lateness.inFront[0]?.bytesIn ?? 0) > 100_000);
      assert.ok(lateness.behindMs > TIMEOUT_MS * 0.8, `behind ${lateness.behindMs} ms`);
      assert.ok(lateness.serverMs < TIMEOUT_MS * 0.2);
      assert.match(
        error.message,
        /GET B.*In front of it: GET A \(.* of a 6\.0 MB reply received\).*chunked\(\)/,
      );
      proxy.limit(0);
      const late = await large;
      assert.ok(late instanceof DeadlineError);
      assert.equal(late.lateness.cause, 'transfer');
      assert.equal(await redis.get('B'), 'small', 'the connection goes on in step');
      await kind.close(redis);
    });

    test('a server that says nothing: it is not what is in front that is blamed', async (t) => {
      t.after(() => proxy.cut());
      const redis = lanes(() => kind.make([proxy.port]), { deadlines: { fastMs: 200 } });
      await kind.connect(redis);
      await redis.get('none');
      proxy.mute();
      const front = redis.get('B').catch(() => {});
      const message = await redis.get('B').then(
        () => assert.fail('it should be late'),
        (failure: Error) => failure.message,
      );
      assert.match(message, /In front of it: GET B\. Nothing came of what is in front either/);
      await front;
      proxy.resume();
      await kind.close(redis);
    });

    test('the kit: B answers, also the very first time', async (t) => {
      t.after(() => proxy.cut());
      proxy.limit(LINK_BYTES_PER_SECOND);
      const redis = lanes(() => kind.make([proxy.port]), { deadlines: { fastMs: TIMEOUT_MS } });
      await kind.connect(redis);
      await redis.get('none');
      const large = redis.get('A').catch(() => {});
      const started = performance.now();
      assert.equal(await redis.get('B'), 'small');
      const first = performance.now() - started;
      assert.ok(first < TIMEOUT_MS, `B after ${first} ms`);
      const again = redis.get('A').catch(() => {});
      const next = performance.now();
      assert.equal(await redis.get('B'), 'small');
      assert.ok(
        performance.now() - next < TIMEOUT_MS / 4,
        `B after ${performance.now() - next} ms, A known`,
      );
      proxy.limit(0);
      await Promise.all([large, again]);
      await kind.close(redis);
    });
  });
}
