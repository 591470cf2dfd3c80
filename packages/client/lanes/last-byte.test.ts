/** A connection that ends within the last bytes of a reply, which the library has given out already. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { lanesOf } from '../index.ts';
import { olderKinds, plainKinds } from '../testing/clients.ts';
import { faulty } from '../testing/faulty.ts';
import { ask, startServer, type TestServer } from '../testing/server.ts';
import { until } from '../testing/until.ts';

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

for (const kind of [...plainKinds, ...olderKinds]) {
  describe(kind.name, () => {
    const room = faulty(kind, () => server.port);
    const replies = [
      [['GET', 'text'], '$5\r\nvalue\r\n'],
      [['SET', 'text', 'value'], '+OK\r\n'],
      [['INCR', 'count'], ':1\r\n'],
    ] as const;

    for (const [command, reply] of replies) {
      test(`${command[0]}: nothing of it stays behind, wherever the reply is cut`, async () => {
        const redis = await room.open({ deadlines: false });
        for (let passed = 1; passed < reply.length; passed += 1) {
          await ask(server.port, 'SET', 'text', 'value');
          await ask(server.port, 'DEL', 'count');
          const { opened } = room.proxy;
          room.proxy.cutAt(passed, 'server');
          const outcome = await kind.call(redis, ...command).catch((error) => error.code);
          assert.match(String(outcome), /^(?:value|OK|1|ERR_CLIENT_UNKNOWN_OUTCOME)$/);
          assert.match(
            await ask(server.port, 'GET', 'count'),
            command[0] === 'INCR' ? /\n1\r/ : /-1/,
          );
          await until(() => room.proxy.opened > opened);
          // What is on a lane holds up what has to wait for all of them.
          await until(() => lanesOf(redis).every(({ pending }) => pending === 0));
          await until(() => lanesOf(redis).some(({ state }) => state === 'ready'));
        }
      });
    }
  });
}
