/** What a connection took with it before it was sent is made again in the order in which it was asked for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Call } from './call.ts';
import type { Lane } from './lane.ts';
import { settingsOf } from './options.ts';
import { Pool } from './pool.ts';

/** Stands in its library's queue, and is not written. */
class Queued extends Call {
  readonly #sent: Queued[];

  constructor(keys: readonly string[], sent: Queued[]) {
    super(
      'mset',
      keys.flatMap((key) => [key, 'v']),
      0,
      undefined,
    );
    this.#sent = sent;
  }

  override send(): void {
    this.#sent.push(this);
  }
  override succeed(): void {}
  override fail(error: unknown): void {
    throw error;
  }
  override twin(): Call {
    return this;
  }
}

function open(): { pool: Pool; lanes: Lane[] } {
  const lanes: Lane[] = [];
  const pool = new Pool(
    { open: (lane) => void lanes.push(lane) },
    { ...settingsOf({ small: { min: 2, max: 2 }, retries: { attempts: 1_000 } }), single: false },
    undefined,
  );
  pool.start();
  return { pool, lanes };
}

/** So that a barrier goes on: all that was sent is answered. */
function answerAll(pool: Pool, sent: Queued[], order: Queued[]): void {
  for (let call = sent.shift(); call !== undefined; call = sent.shift()) {
    order.push(call);
    pool.answered(call, performance.now());
  }
}

const keys = fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 2 });

for (const others of [1, 0]) {
  test(`a lane is lost, ${others} other is ready`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(keys, { minLength: 2, maxLength: 12 }), async (asked) => {
        const { pool, lanes } = open();
        const [first, second] = lanes as [Lane, Lane];
        pool.ready(first);
        const sent: Queued[] = [];
        const calls = asked.map((of) => new Queued(of, sent));
        for (const call of calls) pool.submit(call);
        assert.deepEqual(sent, calls);
        sent.length = 0;
        if (others === 1) pool.ready(second);
        pool.down(first, 'lost');
        const cause = new Error('lost');
        for (const call of calls) pool.lost(call, first, false, cause);
        if (others === 0) pool.ready(first);
        const order: Queued[] = [];
        answerAll(pool, sent, order);
        assert.equal(order.length, calls.length);
        for (const key of ['a', 'b', 'c']) {
          const on = (list: readonly Queued[]): number[] =>
            list.filter((call) => call.keys().includes(key)).map((call) => call.asked);
          assert.deepEqual(on(order), on(calls), key);
        }
        pool.destroy('the test is over');
      }),
      { numRuns: 300 },
    );
  });
}
