/** Pipelines and transactions that a connection took with it before they were sent: made again in their place, or never. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { calling, lanes, UnknownOutcomeError } from '../index.ts';
import { type AnyClient, olderKinds, plainKinds } from '../testing/clients.ts';
import { type FaultProxy, startProxy } from '../testing/proxy.ts';
import { ask, startServer, type TestServer } from '../testing/server.ts';

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

/** More than the system takes for a connection whose other end does not read. */
const MORE_THAN_FITS = 15_000_000;
const FEW_BYTES = 50_000;

// The others write a batch without looking whether the connection takes it.
for (const kind of [...plainKinds, ...olderKinds].filter(({ library }) => library === 'redis')) {
  /** What `run` asks for behind the `first` ones is not written when its connection ends, and a new one can be had at once. */
  const lost = async (
    retries: { attempts?: number },
    run: (redis: AnyClient) => Promise<unknown>[],
    first = MORE_THAN_FITS / FEW_BYTES,
    prepare: (redis: AnyClient) => Promise<unknown> = async () => {},
  ): Promise<{ outcomes: unknown[]; value: string }> => {
    const proxy: FaultProxy = await startProxy(server.port);
    const redis = lanes(() => kind.make([proxy.port]), {
      small: { max: 1 },
      bulk: { max: 0 },
      deadlines: false,
      retries: { breaker: false, ...retries },
    });
    await kind.connect(redis);
    await redis.del('k');
    await prepare(redis);
    proxy.stall();
    // The first may be written past the library's turn.
    const before = [redis.get('k') as Promise<unknown>];
    for (let i = 0; i < first; i += 1) before.push(redis.append('k', 'x'.repeat(FEW_BYTES)));
    const asked = run(redis).map((one) => one.catch((error: unknown) => error));
    for (let i = 0; i < 3; i += 1) await new Promise((done) => setImmediate(done));
    proxy.cut();
    proxy.resume();
    await Promise.allSettled(before);
    const outcomes = await Promise.all(asked);
    // Behind everything that may still come.
    await redis.append('k', '.');
    const [, value = ''] = (await ask(server.port, 'GETRANGE', 'k', '-7', '-1')).split('\r\n');
    await kind.close(redis);
    await proxy.stop();
    return { outcomes, value: value.replaceAll('x', '') };
  };

  describe(kind.name, () => {
    test('they keep their place among the commands on their keys', async () => {
      const { outcomes, value } = await lost({}, (redis) => [
        redis.append('k', '1'),
        kind.pipeline(redis, [
          ['append', 'k', '2'],
          ['append', 'k', '3'],
        ]),
        redis.append('k', '4'),
        kind.multi(redis, [
          ['append', 'k', '5'],
          ['append', 'other', '-'],
        ]),
        redis.append('k', '6'),
      ]);
      for (const outcome of outcomes) assert.ok(!(outcome instanceof Error), String(outcome));
      assert.equal(value, '123456.');
    });

    test('where nothing is made again they fail, and the library does not send them later', async () => {
      const { outcomes, value } = await lost({ attempts: 1 }, (redis) => [
        kind.pipeline(redis, [['append', 'k', '1']]),
        kind.multi(redis, [['append', 'k', '2']]),
      ]);
      for (const outcome of outcomes) assert.ok(outcome instanceof Error, String(outcome));
      assert.equal(value, '.');
    });

    test('one that its caller gave up before is not made again', async () => {
      const ending = new AbortController();
      const { outcomes, value } = await lost({}, (redis) => {
        const view = calling(redis, { signal: ending.signal });
        const runs = [
          kind.pipeline(view, [['append', 'k', '1']]),
          kind.multi(view, [['append', 'k', '2']]),
        ];
        ending.abort();
        return runs;
      });
      for (const outcome of outcomes)
        assert.equal((outcome as { code?: string }).code, 'ERR_CLIENT_ABORTED');
      assert.equal(value, '.');
    });

    test('a transaction that watches is not sent to a connection that does not', async () => {
      const watched = async (redis: AnyClient): Promise<unknown> =>
        (redis as unknown as { watch(key: string): Promise<unknown> }).watch('k');
      const run = (redis: AnyClient): Promise<unknown>[] => [
        kind.multi(redis, [['append', 'k', '1']]),
        redis.append('k', '2'),
      ];
      const { outcomes, value } = await lost({}, run, undefined, watched);
      const [transaction, later] = outcomes;
      assert.equal((transaction as Error).constructor.name, 'WatchError', String(transaction));
      assert.ok(!(later instanceof Error), String(later));
      assert.equal(value, '2.');
    });

    for (const how of ['pipeline', 'multi'] as const) {
      test(`of a ${how} that was written in part nothing is sent later`, async () => {
        const large = [
          ['append', 'k', '1'],
          ['set', 'large', 'x'.repeat(MORE_THAN_FITS)],
          ['append', 'k', '2'],
        ];
        const run = (redis: AnyClient): Promise<unknown>[] => [
          kind[how](redis, large),
          redis.append('k', '3'),
        ];
        const { outcomes, value } = await lost({}, run, 0);
        const [batch, later] = outcomes;
        assert.ok(batch instanceof UnknownOutcomeError, String(batch));
        assert.equal(later, 1);
        assert.equal(value, '3.');
      });
    }
  });
}
