/** Whatever is asked for in one turn and not awaited: each reply is the one that a single connection gives. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { calling, lanes, lanesOf } from '../index.ts';
import { type AnyClient, plainKinds } from '../testing/clients.ts';
import { startServer, type TestServer } from '../testing/server.ts';

let server: TestServer;
let other: TestServer;
before(async () => {
  [server, other] = await Promise.all([startServer(), startServer()]);
});
after(async () => {
  await Promise.all([server?.stop(), other?.stop()]);
});

const LARGE = 'L'.repeat(150_000);
const key = fc.constantFrom('k:1', 'k:2', 'k:3');
const value = fc.oneof(
  { weight: 4, arbitrary: fc.string({ maxLength: 4 }).map((text) => `v${text}`) },
  { weight: 1, arbitrary: fc.constant(LARGE) },
);
const part = fc.oneof(
  fc.tuple(fc.constant('GET'), key),
  fc.tuple(fc.constant('APPEND'), key, fc.constant('+')),
  fc.tuple(fc.constant('SET'), key, fc.constant('p')),
);
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(fc.constant('call' as const), fc.tuple(fc.constant('GET'), key)),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(fc.constant('call' as const), fc.tuple(fc.constant('SET'), key, value)),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(
      fc.constant('call' as const),
      fc.tuple(fc.constant('APPEND'), key, fc.constant('é')),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(
      fc.constant('call' as const),
      fc.constantFrom(
        ['MGET', 'k:1', 'k:2', 'k:3'],
        ['MSET', 'k:1', 'm', 'k:3', 'm'],
        ['DEL', 'k:2', 'k:3'],
        ['COPY', 'k:1', 'k:3', 'REPLACE'],
        ['RPUSH', 'k:list', '2', '1'],
        ['SORT', 'k:list', 'STORE', 'k:2'],
        ['EVAL', "return redis.call('SET', KEYS[2], KEYS[1])", '2', 'k:1', 'k:2'],
        ['FLUSHDB'],
      ),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(
      fc.constant('ordered' as const),
      fc.oneof(fc.tuple(fc.constant('GET'), key), fc.tuple(fc.constant('SET'), key, value)),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(
      fc.constant('pipeline' as const),
      fc.array(part, { minLength: 1, maxLength: 3 }),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(
      fc.constant('multi' as const),
      fc.array(part, { minLength: 1, maxLength: 3 }),
    ),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

for (const kind of plainKinds) {
  test(`${kind.name}: as one connection answers`, async (t) => {
    const plain = kind.make([other.port]);
    const redis = lanes(() => kind.make([server.port]), { choose: 'round-robin' });
    for (const client of [plain, redis]) {
      t.after(() => kind.close(client));
      await kind.connect(client);
    }
    // Whose calls keep the order of all of them among each other, and on each key with everybody's.
    const ordered = calling(redis, { inOrder: true });
    const ask = (client: AnyClient & object, [how, what]: Step): Promise<unknown> => {
      const one = how === 'ordered' && client === redis ? ordered : client;
      const done =
        how === 'call' || how === 'ordered'
          ? kind.call(one, ...what)
          : kind[how](client, what as readonly (readonly string[])[]);
      return done.catch((error: Error) => error.message);
    };
    const all = (client: AnyClient & object, steps: readonly Step[]): Promise<unknown[]> =>
      Promise.all(steps.map((one) => ask(client, one)));
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 25 }), async (steps) => {
        const [mine, theirs] = await Promise.all([all(redis, steps), all(plain, steps)]);
        // Not deepEqual of all: its message would be of megabytes.
        for (const [i, reply] of mine.entries()) {
          const same = JSON.stringify(reply) === JSON.stringify(theirs[i]);
          assert.ok(same, `reply ${i}, to ${steps[i]?.[0]} ${String(steps[i]?.[1]).slice(0, 60)}`);
        }
      }),
      { numRuns: 150, endOnFailure: true },
    );
    assert.ok(lanesOf(redis).length > 1);
  });
}
