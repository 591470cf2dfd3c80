/** Batches that are late, and words that their caller changes. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { calling, DeadlineError, lanes } from '../index.ts';
import { plainKinds } from '../testing/clients.ts';
import { startProxy } from '../testing/proxy.ts';
import { ask, startServer, type TestServer } from '../testing/server.ts';
import { until } from '../testing/until.ts';

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

for (const kind of plainKinds) {
  describe(kind.name, () => {
    test('a late batch that was sent may have run, and says so', async () => {
      const proxy = await startProxy(server.port);
      const redis = lanes(() => kind.make([proxy.port]));
      await kind.connect(redis);
      await redis.set('n', '0');
      proxy.mute();
      const short = calling(redis, { deadlineMs: 1_000 });
      for (const how of ['pipeline', 'multi'] as const) {
        const [late] = await kind[how](short, [['incr', 'n']]).catch((error: unknown) => [error]);
        assert.ok(late instanceof DeadlineError, String(late));
        assert.equal(late.outcomeUnknown, true, how);
        assert.doesNotMatch(late.message, /never written|no connection/);
      }
      assert.match(await ask(server.port, 'GET', 'n'), /2/);
      proxy.resume();
      await kind.close(redis);
      await proxy.stop();
    });

    test('an array of words that its caller changes later is asked as it was', async () => {
      const proxy = await startProxy(server.port);
      const redis = lanes(() => kind.make([proxy.port]));
      await kind.connect(redis);
      await redis.set('mine', 'mine');
      proxy.mute();
      const words = ['GET', 'mine'];
      const sent = proxy.passed;
      const reply = kind.library === 'redis' ? sendWords(redis, words) : kind.call(redis, ...words);
      await until(() => proxy.passed > sent);
      words[1] = 'other';
      proxy.cut();
      proxy.resume();
      assert.equal(String(await reply), 'mine');
      await kind.close(redis);
      await proxy.stop();
    });
  });
}

function sendWords(redis: object, words: readonly string[]): Promise<unknown> {
  return (redis as { sendCommand(words: readonly string[]): Promise<unknown> }).sendCommand(words);
}
