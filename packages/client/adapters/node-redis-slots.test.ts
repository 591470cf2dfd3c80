import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Overtaken, SlotOrder, type Turn } from './node-redis-slots.ts';

const SLOT = 7;
const [A, B] = [{}, {}];

/** Attempts that end when they are told to, and the order in which they were made. */
class Bench {
  readonly order = new SlotOrder();
  readonly made: string[] = [];
  readonly #ends = new Map<string, (error?: Error) => void>();

  attempt(turn: Turn, node: object, name: string): Promise<string> {
    return this.order.run(turn, SLOT, node, () => {
      this.made.push(name);
      return new Promise((resolve, reject) => {
        this.#ends.set(name, (error) => (error === undefined ? resolve(name) : reject(error)));
      });
    });
  }

  async end(name: string, error?: Error): Promise<void> {
    this.#ends.get(name)?.(error);
    await turnOver();
  }
}

const turnOver = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const turn = (asked: number, settled = false): Turn => ({
  asked,
  settled,
  read: false,
  several: false,
  keys: () => ['k'],
});
const moved = (): Error => new Error('MOVED 7 127.0.0.1:7001');

/** As the library does: it goes to the other node. */
async function followed(bench: Bench, of: Turn, name: string): Promise<string> {
  try {
    return await bench.attempt(of, A, `${name} at A`);
  } catch {
    return await bench.attempt(of, B, `${name} at B`);
  } finally {
    bench.order.end(of, undefined);
  }
}

test('all go at once while they go to one node', async () => {
  const bench = new Bench();
  const both = [bench.attempt(turn(1), A, 'one'), bench.attempt(turn(2), A, 'two')];
  assert.deepEqual(bench.made, ['one', 'two']);
  await bench.end('two');
  await bench.end('one');
  assert.deepEqual(await Promise.all(both), ['one', 'two']);
});

test('one to another node waits until the first ones are answered', async () => {
  const bench = new Bench();
  const first = bench.attempt(turn(1), A, 'one');
  const later = turn(2);
  const second = bench.attempt(later, B, 'two');
  assert.deepEqual(bench.made, ['one']);
  await bench.end('one');
  assert.deepEqual(bench.made, ['one', 'two']);
  await bench.end('two');
  bench.order.end(later, undefined);
  assert.deepEqual(await Promise.all([first, second]), ['one', 'two']);
});

test('what a node sends elsewhere goes one by one, as it was asked for, before what is asked for then', async () => {
  const bench = new Bench();
  const [one, two, three, four] = [turn(1), turn(2), turn(3), turn(4)];
  const all = [followed(bench, one, '1'), followed(bench, two, '2'), followed(bench, three, '3')];
  await bench.end('1 at A', moved());
  const last = bench.attempt(four, B, '4');
  // Nobody goes on while the first node may still answer.
  assert.deepEqual(bench.made, ['1 at A', '2 at A', '3 at A']);
  await bench.end('3 at A', moved());
  await bench.end('2 at A', moved());
  for (const name of ['1 at B', '2 at B', '3 at B', '4']) {
    assert.equal(bench.made.at(-1), name);
    await bench.end(name);
  }
  bench.order.end(four, undefined);
  assert.deepEqual(await Promise.all(all), ['1 at B', '2 at B', '3 at B']);
  assert.equal(await last, '4');
  const again = bench.attempt(turn(5), A, '5');
  await bench.end('5');
  assert.equal(await again, '5');
});

test('what waits behind one that is lost has its fate, and was never sent; one that was given up is passed over', {
  timeout: 5_000,
}, async () => {
  const bench = new Bench();
  const [one, two, three] = [turn(1), turn(2), turn(3)];
  const first = bench.attempt(one, A, '1').catch(() => bench.attempt(one, B, '1 again'));
  const failed = first.catch(String);
  await bench.end('1', moved());
  const second = bench.attempt(two, B, '2').catch(String);
  const lost = new Error('the connection was lost');
  await bench.end('1 again', lost);
  bench.order.end(one, lost);
  assert.equal(await failed, String(lost));
  assert.equal(await second, String(lost));

  const running = bench.attempt(three, A, '3');
  const over = bench.attempt(turn(4, true), B, '4').catch(String);
  const five = turn(5);
  const next = bench.attempt(five, B, '5');
  await bench.end('3');
  await running;
  assert.match(await over, /given up/);
  await bench.end('5');
  bench.order.end(five, undefined);
  assert.equal(await next, '5');
  assert.deepEqual(bench.made, ['1', '1 again', '3', '5']);
});

test('other slots and other turns wait for nobody', async () => {
  const bench = new Bench();
  const first = bench.attempt(turn(1), A, 'one');
  const other = await bench.order.run(turn(2), SLOT + 1, B, async () => 'other');
  assert.equal(other, 'other');
  await bench.end('one');
  await first;
});

test('a transaction that was refused comes too late once something later on its keys has run', async () => {
  const bench = new Bench();
  const both = { ...turn(1), several: true, keys: () => ['k', 'other'] };
  const refused = assert.rejects(bench.attempt(both, A, 'both'), Overtaken);
  const later = bench.attempt(turn(2), A, 'later');
  const apart = { ...turn(3), several: true, keys: () => ['elsewhere', 'too'] };
  const third = followed(bench, apart, 'apart');
  // The answer to the later one comes in the same moment, and is seen first.
  const ends = [bench.end('later'), bench.end('both', moved()), bench.end('apart at A', moved())];
  await Promise.all(ends);
  assert.equal(await later, 'later');
  await refused;
  await turnOver();
  assert.deepEqual(bench.made, ['both', 'later', 'apart at A', 'apart at B']);
  await bench.end('apart at B');
  assert.equal(await third, 'apart at B');
});
