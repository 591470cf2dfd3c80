/** What a connection took with it before it was sent is made again in the order in which it was asked for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { UnknownOutcomeError } from '../errors.ts';
import { Call, type Calling } from './call.ts';
import { batchLost } from './fate.ts';
import type { Lane, LaneClient } from './lane.ts';
import { settingsOf } from './options.ts';
import type { Placeable } from './placeable.ts';
import { Pool } from './pool.ts';

/** Stands in its library's queue, and is not written. */
class Queued extends Call {
  readonly #sent: Item[];

  failed: unknown;

  constructor(keys: readonly string[], sent: Item[], calling?: Calling) {
    super(
      'mset',
      keys.flatMap((key) => [key, 'v']),
      0,
      calling,
    );
    this.#sent = sent;
  }

  override send(): void {
    this.#sent.push(this);
  }
  override succeed(): void {}
  override fail(error: unknown): void {
    if (this.calling === undefined) throw error;
    this.failed = error;
  }
  override twin(): Call {
    return this;
  }
}

/** A pipeline in the same queue. */
class QueuedBatch implements Placeable {
  readonly label = 'pipeline';
  readonly place = 'data';
  readonly bytesOut = 0;
  readonly read = false;
  readonly chain = undefined;
  readonly deadlineAt = Number.POSITIVE_INFINITY;
  readonly queuedAt = 0;
  readonly settled = false;
  readonly calls: readonly Queued[];
  asked = 0;
  readonly #sent: Item[];

  constructor(keys: readonly string[], sent: Item[]) {
    this.calls = keys.map((key) => new Queued([key], []));
    this.#sent = sent;
  }

  keys(): readonly string[] {
    return this.calls.flatMap((call) => call.keys());
  }
  send(): void {
    this.#sent.push(this);
  }
  fail(error: unknown): void {
    throw error;
  }
}

type Item = Queued | QueuedBatch;

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
function answerAll(pool: Pool, lanes: readonly Lane[], sent: Item[], order: Item[]): void {
  for (let call = sent.shift(); call !== undefined; call = sent.shift()) {
    order.push(call);
    if (call instanceof Queued) pool.answered(call, performance.now());
    else for (const lane of lanes) pool.releaseAll(call, lane);
  }
}

const keys = fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 2 });
const one = fc.record({ keys, batch: fc.boolean() });

for (const others of [1, 0]) {
  test(`a lane is lost, ${others} other is ready`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(one, { minLength: 2, maxLength: 12 }), async (asked) => {
        const { pool, lanes } = open();
        const [first, second] = lanes as [Lane, Lane];
        pool.ready(first);
        const sent: Item[] = [];
        const calls = asked.map(({ keys, batch }) =>
          batch ? new QueuedBatch(keys, sent) : new Queued(keys, sent),
        );
        for (const call of calls) {
          if (call instanceof Queued) pool.submit(call);
          else pool.submitBatch(call);
        }
        assert.deepEqual(sent, calls);
        sent.length = 0;
        if (others === 1) pool.ready(second);
        pool.down(first, 'lost');
        const cause = new Error('lost');
        for (const call of calls) {
          if (call instanceof Queued) pool.lost(call, first, false, cause);
          else batchLost(pool, call, first, cause, undefined);
        }
        if (others === 0) pool.ready(first);
        const order: Item[] = [];
        answerAll(pool, lanes, sent, order);
        assert.equal(order.length, calls.length);
        for (const key of ['a', 'b', 'c']) {
          const on = (list: readonly Item[]): number[] =>
            list.filter((call) => call.keys().includes(key)).map((call) => call.asked);
          assert.deepEqual(on(order), on(calls), key);
        }
        pool.destroy('the test is over');
      }),
      { numRuns: 300 },
    );
  });
}

test('what may be made again does not go behind what its library keeps for the next connection', () => {
  const { pool, lanes } = open();
  const [first, second] = lanes as [Lane, Lane];
  first.client = { keepsUnsent: true } as LaneClient;
  pool.ready(first);
  const sent: Item[] = [];
  const older = new Queued(['a'], sent, { idempotent: true });
  const newer = new Queued(['a'], sent);
  pool.submit(older);
  pool.submit(newer);
  pool.ready(second);
  sent.length = 0;
  // Of this connection the older one was written, and of the other nobody says anything.
  pool.lost(older, first, true, new Error('lost'));
  assert.deepEqual(sent, []);
  assert.ok(older.failed instanceof UnknownOutcomeError);
  first.client = undefined;
  pool.release(newer, first);
  pool.destroy('the test is over');
});

test('two calls of one pipeline that are made again keep their order on their key', () => {
  const { pool, lanes } = open();
  const [first, second] = lanes as [Lane, Lane];
  pool.ready(first);
  const sent: Item[] = [];
  const batch = new QueuedBatch(['a', 'a'], []);
  const parts = [new Queued(['a'], sent), new Queued(['a'], sent)];
  Object.assign(batch, { calls: parts });
  pool.submitBatch(batch);
  pool.ready(second);
  pool.down(first, 'lost');
  for (const part of parts) pool.lost(part, first, false, new Error('lost'));
  assert.deepEqual(sent, parts);
  for (const part of parts) pool.answered(part, performance.now());
  pool.destroy('the test is over');
});
