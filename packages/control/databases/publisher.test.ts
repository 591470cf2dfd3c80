/** What becomes of a publication that fails, or that cannot be listened for. The endpoint is one that does as it is told here, or does not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DatabaseView } from '../../endpoint/control-protocol.ts';
import { SimClock } from '../simulation/clock.ts';
import { Random } from '../simulation/random.ts';
import { openDatabase, Store } from '../store/index.ts';
import { LISTEN_RETRY_MS, PUBLISH_RETRY_MS } from './limits.ts';
import { Publisher } from './publisher.ts';

const ADDRESS = '127.0.0.1:10000';
const plain = { seal: (_owner: string, text: string) => text, open: (_o: string, s: string) => s };

/** `epoch`: of the shard, so that a view differs from one before. */
const view = (epoch: number) =>
  ({
    id: 'db',
    listen: [{ host: '127.0.0.1', port: 10_000 }],
    shards: [{ epoch }],
  }) as unknown as DatabaseView;

class Endpoint {
  readonly clock = new SimClock(new Random(1));
  readonly publisher: Publisher;
  /** What is recorded now. */
  recorded = view(1);
  fails = false;
  taken: string | null = null;
  /** How often the database was told that something is other than it was. */
  told = 0;
  /** What it was sent, whether or not it answered. */
  readonly heard: DatabaseView[] = [];

  constructor() {
    this.publisher = new Publisher({
      store: new Store(openDatabase(':memory:'), plain, Date.now),
      clock: this.clock,
      fleet: {
        publish: async (_epoch, views) => {
          this.heard.push(...views);
          if (this.fails) throw new Error('the endpoint supervisor is not running');
          return this.taken === null ? [] : [{ address: ADDRESS, reason: this.taken }];
        },
      },
      load: async () => undefined,
      view: () => this.recorded,
      portsChanged: () => undefined,
      databaseIds: () => ['db'],
      published: () => {
        this.told += 1;
      },
      unreachable: () => undefined,
      log: () => undefined,
    });
  }

  async passes(ms: number): Promise<void> {
    const end = this.clock.ticks() + ms;
    this.clock.later(ms, () => undefined);
    while (this.clock.ticks() < end) await this.clock.step();
  }
}

test('a port that was taken is tried again also when the endpoint failed at one of the tries', async () => {
  const it = new Endpoint();
  it.taken = 'port-taken';
  it.publisher.publish();
  await it.passes(1);
  assert.match(it.publisher.problem('db') ?? '', /port-taken/);
  it.fails = true;
  const before = it.heard.length;
  await it.passes(LISTEN_RETRY_MS + 1);
  assert.ok(it.heard.length > before, 'it was tried');
  it.fails = false;
  it.taken = null;
  await it.passes(PUBLISH_RETRY_MS + LISTEN_RETRY_MS);
  assert.equal(it.publisher.problem('db'), null);
});

test('what some workers may have of a publication that failed is taken back', async () => {
  const it = new Endpoint();
  it.publisher.publish();
  await it.passes(1);
  assert.deepEqual(it.heard, [view(1)]);
  it.fails = true;
  it.recorded = view(2);
  it.publisher.publish();
  await it.passes(1);
  it.fails = false;
  it.recorded = view(1);
  await it.passes(2 * PUBLISH_RETRY_MS);
  assert.deepEqual(it.heard, [view(1), view(2), view(1)]);
});

test('a database hears that its port cannot be listened on, and why, and when that ends', async () => {
  const it = new Endpoint();
  const toldOf = async (taken: string | null): Promise<number> => {
    const before = it.told;
    it.taken = taken;
    await it.passes(LISTEN_RETRY_MS + 1);
    return it.told - before;
  };
  it.publisher.publish();
  assert.equal(await toldOf('port-taken: by one'), 1);
  assert.equal(it.publisher.problem('db'), `${ADDRESS}: port-taken: by one`);
  assert.equal(await toldOf('port-taken: by one'), 0, 'it knows');
  assert.equal(await toldOf('port-taken: by another'), 1);
  // Another port is not one of the tries: it is published at once.
  it.recorded = view(2);
  it.publisher.publish();
  const heard = it.heard.length;
  await it.passes(1);
  assert.equal(it.heard.length, heard + 1);
  assert.equal(await toldOf(null), 1);
  assert.equal(it.publisher.problem('db'), null);
});
