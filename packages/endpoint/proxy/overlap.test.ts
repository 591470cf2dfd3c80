/** A planned switch while clients listen: every message comes, comes once, and in its publisher's order. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import fc from 'fast-check';
import { eventually } from '../../engine/testing.ts';
import { keySlot, SLOTS } from '../../resp/index.ts';
import { type Successor, SWITCHING } from '../control-protocol.ts';
import { type Message, Overlap, Recent } from './overlap.ts';
import { startProxy, WORKER_COUNTS } from './testing.ts';
import { inSync, instance, KEY, RawClient, startShards, switchPrimary } from './testing-engines.ts';

const MS = 3000;
const ROUNDS = 4;
const SOME_MESSAGES = 100;
/** A key of the shard that is not switched: what a script publishes there comes by the bus. */
const AT_THE_OTHER = 'a';

const LISTENING = [
  ['SUBSCRIBE', 'c'],
  ['PSUBSCRIBE', 'c*'],
  ['SSUBSCRIBE', 'c'],
  ['SUBSCRIBE', 'far'],
  ['PSUBSCRIBE', 'f*'],
].flatMap((words) => ([2, 3] as const).map((protocol) => ({ words, protocol })));

/** What one client hears: of each publisher the numbers, in the order in which they come. */
class Listener {
  readonly heard: number[][];
  readonly #client: RawClient;

  private constructor(client: RawClient, publishers: number) {
    this.#client = client;
    this.heard = Array.from({ length: publishers }, () => []);
    client.socket.on('data', () => {
      const text = client.received.toString('latin1');
      for (const [, publisher, n] of text.matchAll(/<(\d+) (\d+)>/g)) {
        this.heard[Number(publisher)]?.push(Number(n));
      }
      client.received = Buffer.from(text.slice(text.lastIndexOf('>') + 1), 'latin1');
    });
  }

  static async open(
    port: number,
    { words, protocol }: { readonly words: readonly string[]; readonly protocol: 2 | 3 },
    publishers: number,
  ): Promise<Listener> {
    const client = await RawClient.open(port, protocol);
    client.send(words);
    await eventually('it listens', () => client.received.includes(':1\r\n'));
    client.received = Buffer.alloc(0);
    return new Listener(client, publishers);
  }

  close(): void {
    this.#client.close();
  }
}

/** Publishes the next message as soon as the last one is acknowledged. */
class Publisher {
  published = 0;
  #stop = false;
  readonly #client: RawClient;
  readonly #number: number;
  readonly #done: Promise<void>;

  constructor(client: RawClient, number: number) {
    this.#client = client;
    this.#number = number;
    this.#done = this.#run();
  }

  async #run(): Promise<void> {
    while (!this.#stop) {
      const text = `<${this.#number} ${++this.published}>`;
      const far = ['EVAL', "return redis.call('PUBLISH', 'far', ARGV[1])", '1', AT_THE_OTHER, text];
      for (const command of [['PUBLISH', 'c', text], ['SPUBLISH', 'c', text], far]) {
        this.#client.received = Buffer.alloc(0);
        this.#client.send(command);
        await once(this.#client.socket, 'data');
        assert.match(this.#client.received.toString(), /^:\d+\r\n$/);
      }
    }
  }

  async stop(): Promise<void> {
    this.#stop = true;
    await this.#done;
    this.#client.close();
  }
}

for (const workers of WORKER_COUNTS) {
  test(`messages over planned switches, ${workers} workers: each once, in order`, async (t) => {
    const { shards, views } = await startShards(t, 2, true);
    const [shard, other] = shards;
    assert.ok(shard?.replica && other !== undefined);
    assert.equal(keySlot(Buffer.from('c')) < SLOTS / 2, true);
    assert.equal(keySlot(Buffer.from(AT_THE_OTHER)) < SLOTS / 2, false);
    const running = await startProxy({ shards: views, keys: { default: KEY }, workers });
    t.after(() => running.close());
    // Clients come to the workers in turn: one of each kind, and a publisher, on each.
    const wanted = LISTENING.flatMap((each) => Array.from({ length: workers }, () => each));
    const listeners: Listener[] = [];
    for (const each of wanted) listeners.push(await Listener.open(running.port, each, workers));
    const publishers: Publisher[] = [];
    for (let i = 0; i < workers; i++) {
      publishers.push(new Publisher(await RawClient.open(running.port), i));
    }
    const more = async (): Promise<void> => {
      const before = publishers.map(({ published }) => published);
      const flow = (): boolean =>
        publishers.every((each, i) => each.published > (before[i] ?? 0) + SOME_MESSAGES);
      await eventually('messages flow', flow);
    };
    let [from, to] = [shard.primary, shard.replica];
    for (let round = 0; round < ROUNDS; round++) {
      await more();
      await inSync(to);
      await running.hold('test/0', performance.now() + 4000);
      await switchPrimary(from, to);
      const view = { ...shard.view, primary: instance(to), replicas: [instance(from)] };
      if (round % 2 === 0) {
        const successor = { node: instance(to).node, reason: SWITCHING };
        if (round % 4 === 0) running.expect('test/0', successor);
        running.release('test/0', successor);
      } else {
        running.apply({ shards: [{ ...view, state: 'held', reason: SWITCHING }, other.view] });
        running.release('test/0');
      }
      running.apply({ shards: [view, other.view] });
      [from, to] = [to, from];
    }
    await more();
    for (const publisher of publishers) await publisher.stop();
    const all = publishers.map(({ published }) =>
      Array.from({ length: published }, (_, i) => i + 1),
    );
    const last = publishers.map(({ published }) => published);
    for (const [i, listener] of listeners.entries()) {
      const words = JSON.stringify(wanted[i]);
      await eventually(`the last ones came: ${words}`, () =>
        listener.heard.every((numbers, j) => numbers.includes(last[j] ?? 0)),
      );
      assert.deepEqual(listener.heard, all, words);
      listener.close();
    }
  });
}

test('nobody publishes on a new primary before all who listen are there', async (t) => {
  const { shards, views } = await startShards(t, 1, true);
  const [shard] = shards;
  assert.ok(shard?.replica);
  const running = await startProxy({ shards: views, keys: { default: KEY }, workers: 2 });
  t.after(() => running.close());
  const [first, second] = running.proxies;
  assert.ok(first !== undefined && second !== undefined);
  // In turn: the listener is at the second worker, the publisher at the first.
  const listening = { words: ['SSUBSCRIBE', 'c'], protocol: 2 } as const;
  const idle = await RawClient.open(running.port);
  const listener = await Listener.open(running.port, listening, 1);
  const publisher = await RawClient.open(running.port);
  assert.deepEqual([first.sessions.size, second.sessions.size].sort(), [1, 2]);
  const [near, far] = first.sessions.size === 2 ? [first, second] : [second, first];
  let [from, to] = [shard.primary, shard.replica];
  const change = async (): Promise<Successor> => {
    await inSync(to);
    await running.hold('test/0', performance.now() + 4000);
    await switchPrimary(from, to);
    publisher.received = Buffer.alloc(0);
    publisher.send(['SPUBLISH', 'c', '<0 1>']);
    [from, to] = [to, from];
    return { node: instance(from).node, reason: SWITCHING };
  };
  const answered = (): boolean => publisher.received.length > 0;

  await t.test('the other worker hears of it a little later', async () => {
    const successor = await change();
    near.release('test/0', 1, successor);
    // Nobody listens at the first worker: it would let its client go on at once.
    for (let i = 0; i < 50; i++) await from.link.command(['PING'], MS);
    assert.equal(answered(), false);
    far.release('test/0', 1, successor);
    await eventually('published', answered);
    await eventually('heard', () => listener.heard[0]?.length === 1);
    assert.equal(publisher.received.toString(), ':1\r\n');
  });

  await t.test(
    'all who listen are there when it is expected: the release waits for nobody',
    async () => {
      running.apply({
        shards: [{ ...shard.view, primary: instance(from), replicas: [instance(to)] }],
      });
      const successor = await change();
      for (const each of [near, far]) each.expect('test/0', successor);
      await eventually('the listener is there', async () => {
        const reply = await from.link.command(['PUBSUB', 'SHARDNUMSUB', 'c'], MS);
        return Array.isArray(reply) && reply[1] === 1;
      });
      assert.equal(answered(), false);
      near.release('test/0', 2, successor);
      await eventually('published', answered);
      await eventually('heard', () => listener.heard[0]?.length === 2);
      far.release('test/0', 2, successor);
    },
  );

  await t.test('the other worker never answers', async () => {
    const view = { ...shard.view, primary: instance(from), replicas: [instance(to)] };
    running.apply({ shards: [view] });
    const successor = await change();
    near.release('test/0', 2, successor);
    await eventually('the others go on', answered, 2000);
    assert.ok(running.events.some((event) => 'limit' in event && event.limit === 'peer-mute'));
  });
  listener.close();
  publisher.close();
  idle.close();
});

const said = (payload: string): Message => {
  return { kind: 'subscribe', name: 'c', channel: 'c', payload: Buffer.from(payload) };
};

test('however two connections bring the same texts: each is passed on once', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 3 }), { maxLength: 40 }),
      fc.array(fc.boolean(), { minLength: 80, maxLength: 80 }),
      fc.nat({ max: 80 }),
      fc.boolean(),
      (messages, turns, joinAt, mayWait) => {
        const overlap = new Overlap(new Recent(() => 0), () => mayWait, null);
        overlap.both();
        const at = { old: 0, new: 0 };
        const passed: number[] = [];
        const pass = (list: readonly Message[]): void => {
          passed.push(...list.map(({ payload }) => Number(payload)));
        };
        const all = [...turns, ...messages.flatMap(() => [true, false])];
        for (const [i, turn] of all.entries()) {
          if (i === joinAt) pass(overlap.join());
          const from = turn ? 'old' : 'new';
          const message = messages[at[from]];
          if (message === undefined) continue;
          at[from]++;
          pass(overlap[from](said(`${message}`)));
        }
        pass(overlap.join());
        assert.deepEqual(passed, messages);
        assert.equal(overlap.full, false);
      },
    ),
  );
});

test('several engines, each with its own delay to the old and to the new one', () => {
  // Of each engine: how many messages there are; how many the old one had brought when the new one is
  // connected to; from which on they come to the new one.
  const engine = fc.record({ count: fc.nat(12), before: fc.nat(12), start: fc.nat(12) });
  fc.assert(
    fc.property(
      fc.array(engine, { minLength: 1, maxLength: 3 }),
      fc.infiniteStream(fc.record({ engine: fc.nat(2), old: fc.boolean() })),
      fc.nat({ max: 30 }),
      (engines, turns, bothAt) => {
        const recent = new Recent(() => 0);
        const passed: number[][] = engines.map(() => []);
        const pass = (list: readonly Message[]): void => {
          for (const message of list) {
            recent.add(message);
            const [from = 0, n = 0] = message.payload.toString().split(' ').map(Number);
            passed[from]?.push(n);
          }
        };
        const left = engines.map(({ count, before, start }, i) => {
          const all = Array.from({ length: count }, (_, n) => said(`${i} ${n}`));
          pass(all.slice(0, before));
          return { old: all.slice(before), new: all.slice(start), early: start - before };
        });
        const overlap = new Overlap(recent, () => true, null);
        let joined = false;
        for (let turn = 0; left.some((each) => each.old.length + each.new.length > 0); turn++) {
          if (turn === bothAt) overlap.both();
          // The old one has had the time for what came before the new one was listened to.
          if (!joined && turn > bothAt && left.every(({ early }) => early <= 0)) {
            pass(overlap.join());
            joined = true;
          }
          const chosen = turns.next().value;
          const of = left[chosen.engine % left.length];
          const message = (chosen.old ? of?.old : of?.new)?.shift();
          if (of === undefined || message === undefined) continue;
          if (chosen.old) of.early--;
          pass(chosen.old ? overlap.old(message) : overlap.new(message));
        }
        pass(overlap.join());
        assert.deepEqual(
          passed,
          engines.map(({ count }) => Array.from({ length: count }, (_, n) => n)),
        );
      },
    ),
    { numRuns: 2000 },
  );
});
