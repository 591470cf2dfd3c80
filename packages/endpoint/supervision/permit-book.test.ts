import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { PERMIT_WAIT_MS } from '../limits.ts';
import { PermitPurse } from '../worker/permits.ts';
import { PermitBook } from './permit-book.ts';

/** Workers with real purses over one book; messages wait in queues until the schedule delivers them. */
class World {
  readonly purses = new Map<number, PermitPurse>();
  readonly used = new Map<number, number>();
  readonly book: PermitBook;
  readonly mail: (() => void)[] = [];
  refusals = 0;

  constructor(workers: number, limit: number) {
    this.book = new PermitBook({
      grant: (worker, _, count) => this.mail.push(() => this.purses.get(worker)?.granted(count)),
      recall: (worker) => this.mail.push(() => this.purses.get(worker)?.recall()),
    });
    this.book.limits(new Map([['db', limit]]));
    for (let worker = 1; worker <= workers; worker += 1) this.#add(worker, workers, limit);
  }

  #add(worker: number, workers: number, limit: number): void {
    const purse = new PermitPurse('db', {
      want: (database, count) => {
        this.mail.push(() => this.book.want(worker, database, count, this.purses.keys()));
        return true;
      },
      giveBack: (database, count, answer) =>
        this.mail.push(() => this.book.giveBack(worker, database, count, answer)),
    });
    purse.setLimit(limit, workers);
    this.purses.set(worker, purse);
    this.used.set(worker, 0);
  }

  connect(worker: number): void {
    this.purses.get(worker)?.take((refusal) => {
      if (refusal === null) this.used.set(worker, (this.used.get(worker) ?? 0) + 1);
      else this.refusals += 1;
    });
  }

  disconnect(worker: number): void {
    const used = this.used.get(worker) ?? 0;
    if (used === 0) return;
    this.used.set(worker, used - 1);
    this.purses.get(worker)?.release();
  }

  die(worker: number): void {
    this.purses.get(worker)?.close();
    this.purses.delete(worker);
    this.used.delete(worker);
    this.book.gone(worker);
  }

  settle(): void {
    for (let next = this.mail.shift(); next !== undefined; next = this.mail.shift()) next();
  }

  connected(): number {
    return [...this.used.values()].reduce((sum, count) => sum + count, 0);
  }

  close(): void {
    for (const purse of this.purses.values()) purse.close();
  }
}

test('never more connections than the limit, whatever the order of messages', () => {
  const step = fc.record({
    what: fc.constantFrom('connect', 'connect', 'connect', 'disconnect', 'deliver', 'die'),
    worker: fc.integer({ min: 1, max: 3 }),
  });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 30 }),
      fc.array(step, { maxLength: 150 }),
      (limit, steps) => {
        const world = new World(3, limit);
        for (const { what, worker } of steps) {
          if (what === 'connect') world.connect(worker);
          else if (what === 'disconnect') world.disconnect(worker);
          else if (what === 'die') world.die(worker);
          else world.mail.shift()?.();
          assert.ok(world.connected() <= limit);
          assert.ok(world.book.granted('db') <= limit);
        }
        world.close();
      },
    ),
  );
});

test('all permits can be used by whoever needs them, then one more is refused', () => {
  for (const limit of [1, 2, 10, 33]) {
    const world = new World(2, limit);
    for (let i = 0; i < limit; i += 1) {
      world.connect(1 + (i % 7 === 0 ? 1 : 0));
      world.settle();
    }
    assert.equal(world.connected(), limit);
    assert.equal(world.refusals, 0);
    world.connect(2);
    world.settle();
    assert.equal(world.refusals, 1);
    world.disconnect(1);
    world.connect(2);
    world.settle();
    assert.equal(world.connected(), limit, 'what one worker freed, another may use');
    world.close();
  }
});

test('permits of a dead worker and of a raised limit are free at once', () => {
  const world = new World(2, 4);
  for (let i = 0; i < 4; i += 1) world.connect(1);
  world.settle();
  world.connect(2);
  world.settle();
  assert.equal(world.refusals, 1);
  world.die(1);
  world.connect(2);
  world.settle();
  assert.equal(world.connected(), 1);
  world.book.limits(new Map([['db', 2]]));
  world.connect(2);
  world.connect(2);
  world.settle();
  assert.equal(world.connected(), 2);
  world.close();
});

test('the end of an earlier wait does not end a later one', () => {
  const granted: number[] = [];
  const book = new PermitBook({
    grant: (worker, _, count) => void (worker === 1 && granted.push(count)),
    recall: () => undefined,
  });
  book.limits(new Map([['db', 2]]));
  book.want(2, 'db', 1, [1, 2]);
  const first = book.want(1, 'db', 1, [1, 2]);
  book.want(1, 'db', 1, [1, 2]);
  // Half a second after the first, which was answered at once.
  book.stopWaiting('db', first);
  assert.deepEqual(granted, [1], 'the second waits for what the other worker has free');
  book.giveBack(2, 'db', 1, true);
  assert.deepEqual(granted, [1, 1]);
});

test('while nobody answers, each connection waits its time and is refused', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const purse = new PermitPurse('db', { want: () => true, giveBack: () => undefined });
  purse.setLimit(10, 2);
  const verdicts: (string | null)[] = [];
  for (let i = 1; i <= 3; i++) {
    purse.take((refusal) => verdicts.push(refusal));
    assert.equal(verdicts.length, i - 1);
    t.mock.timers.tick(PERMIT_WAIT_MS);
    assert.deepEqual(verdicts, new Array(i).fill('permit-timeout'));
  }
  // The answer comes in the end.
  purse.granted(2);
  purse.take((refusal) => verdicts.push(refusal));
  assert.equal(verdicts.at(-1), null);
});
