/** A server in front of others that lost one with a write on it: the kit's own error, with the server's as its cause. */
import assert from 'node:assert/strict';
import { connect, createServer, type Server } from 'node:net';
import { after, before, test } from 'node:test';
import { batch, lanes, UnknownOutcomeError } from '../index.ts';
import { plainKinds } from '../testing/clients.ts';
import { startServer, type TestServer } from '../testing/server.ts';

const answer = 'OUTCOMEUNKNOWN the shard was lost';
const script = `return redis.error_reply('${answer}')`;

let server: TestServer;
let front: Server;
/** In front of the server; what EXEC did is nobody's to know. */
before(async () => {
  server = await startServer();
  front = createServer((client) => {
    const upstream = connect(server.port, '127.0.0.1');
    client.pipe(upstream);
    upstream.on('data', (chunk) => {
      const said = chunk.toString('latin1');
      client.write(said.replace('*1\r\n+OK\r\n', `-${answer}\r\n`), 'latin1');
    });
    client.on('close', () => upstream.destroy());
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
    upstream.on('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
});
after(async () => {
  front?.close();
  await server?.stop();
});

const known = (error: unknown): boolean => {
  assert.ok(error instanceof UnknownOutcomeError, String(error));
  assert.match(String(error.cause), /OUTCOMEUNKNOWN/);
  return true;
};

for (const kind of plainKinds) {
  test(`${kind.name}: by itself, in a pipeline, a batch and a transaction; a read stays what it is`, async (t) => {
    const address = front.address();
    assert.ok(typeof address === 'object' && address !== null);
    const redis = lanes(() => kind.make([address.port]), { retries: { attempts: 2, baseMs: 1 } });
    t.after(() => kind.close(redis));
    await kind.connect(redis);
    await assert.rejects(kind.call(redis, 'EVAL', script, '0'), known);
    // That of redis is rejected with its first error, the others answer each command by itself.
    const [first] = await kind
      .pipeline(redis, [
        [kind.library === 'redis' ? 'EVAL' : 'eval', script, '0'],
        [kind.library === 'redis' ? 'SET' : 'set', 'k', 'v'],
      ])
      .catch((error: unknown) => [error]);
    assert.ok(known(first));
    const { results } = await batch(redis, [['EVAL', script, '0']]);
    assert.equal(results[0]?.status, 'unknown');
    assert.ok(results[0] !== undefined && 'error' in results[0] && known(results[0].error));
    await assert.rejects(
      kind.multi(redis, [[kind.library === 'redis' ? 'SET' : 'set', 'k', 'v']]),
      known,
    );
    await assert.rejects(
      kind.call(redis, 'EVAL_RO', script, '0'),
      (error) => !(error instanceof UnknownOutcomeError) && /OUTCOMEUNKNOWN/.test(String(error)),
    );
  });
}
