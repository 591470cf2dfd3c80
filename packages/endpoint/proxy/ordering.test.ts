/**
 * Order, whatever moves: pipelined writers with registers and logs of their own, while slots go back
 * and forth between shards and primaries change, without a hold and without a word from the control
 * process, so that the endpoint learns everything from MOVED. No acknowledged write may be overtaken
 * by a later one of the same client: each reply is known before it comes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import type { Lane } from './lane.ts';
import { LANES_BESIDE } from './limits.ts';
import { startProxy } from './testing.ts';
import {
  agreed,
  KEY,
  moveSlots,
  RawClient,
  startShards,
  switchPrimary,
  type TestShards,
} from './testing-engines.ts';

/** With values so wide, six writers fill the lanes of a shard, and go on beside them. */
const WIDTHS = [1, 3000] as const;
const WRITERS = 6;
const KEYS = 10;
const PIPELINE = 200;
/** Commands that are written together. */
const SLICES = { 1: 8, 3000: 40 } as const;

/** One client's knowledge of its own keys: what each must answer now. */
class Writer {
  readonly client: RawClient;
  readonly #name: string;
  readonly #registers = new Map<string, number>();
  readonly #logs = new Map<string, number>();
  #version = 0;
  rounds = 0;

  readonly #width: 1 | 3000;

  constructor(client: RawClient, name: string, width: 1 | 3000) {
    this.client = client;
    this.#name = name;
    this.#width = width;
  }

  #text(version: number): string {
    return String(version).padStart(this.#width, '0');
  }

  async round(): Promise<void> {
    const commands: string[][] = [];
    const expected: string[] = [];
    for (let i = 0; i < PIPELINE; i++) {
      const key = `${this.#name}:${Math.floor(Math.random() * KEYS)}`;
      const version = ++this.#version;
      const text = this.#text(version);
      const kind = Math.floor(Math.random() * 5);
      if (kind === 0) {
        commands.push(['SET', `r:${key}`, text]);
        expected.push('+OK');
        this.#registers.set(key, version);
      } else if (kind === 1) {
        commands.push(['GET', `r:${key}`]);
        const value = this.#registers.get(key);
        const known = value === undefined ? '' : this.#text(value);
        expected.push(value === undefined ? '$-1' : `$${known.length}\r\n${known}`);
      } else if (kind === 2) {
        commands.push(['RPUSH', `l:${key}`, String(version)]);
        const length = (this.#logs.get(key) ?? 0) + 1;
        this.#logs.set(key, length);
        expected.push(`:${length}`);
      } else if (kind === 3) {
        const other = `${this.#name}:${Math.floor(Math.random() * KEYS)}`;
        commands.push(['MSET', `r:${key}`, text, `r:${other}`, text]);
        expected.push('+OK');
        this.#registers.set(key, version);
        this.#registers.set(other, version);
      } else {
        commands.push(['EVAL', "return redis.call('LLEN', KEYS[1])", '1', `l:${key}`]);
        expected.push(`:${this.#logs.get(key) ?? 0}`);
      }
    }
    // In slices, so that some commands come while others are in flight or being sent again.
    const slice = SLICES[this.#width];
    for (let at = 0; at < PIPELINE; at += slice) {
      this.client.send(...commands.slice(at, at + slice));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const seen = (await this.client.settled()).toString('latin1');
    assert.equal(seen, expected.map((reply) => `${reply}\r\n`).join(''));
    this.rounds++;
  }

  async logsInOrder(): Promise<void> {
    for (const key of this.#logs.keys()) {
      const words = (await this.client.ask('LRANGE', `l:${key}`, '0', '-1')).split('\r\n');
      const values = words.filter((_, i) => i % 2 === 0 && i > 0).map(Number);
      const sorted = [...values].sort((x, y) => x - y);
      assert.deepEqual(values, sorted);
    }
  }
}

async function disturb({ shards }: TestShards, progress: () => Promise<void>): Promise<void> {
  const [a, b] = shards;
  assert.ok(a?.replica && b?.replica);
  let [first, firstReplica] = [a.primary, a.replica];
  let [second, secondReplica] = [b.primary, b.replica];
  const all = [first, firstReplica, second, secondReplica];
  const done = async (): Promise<void> => {
    await agreed(all);
    await progress();
  };
  for (let round = 0; round < 2; round++) {
    await moveSlots(first, second, 0, 4000);
    await done();
    await switchPrimary(second, secondReplica);
    [second, secondReplica] = [secondReplica, second];
    await done();
    await moveSlots(second, first, 0, 4000);
    await done();
    await switchPrimary(first, firstReplica);
    [first, firstReplica] = [firstReplica, first];
    await done();
  }
}

const carries = ({ kind, retired, inFlight }: Lane): boolean =>
  kind === 'small' && !retired && inFlight > 0;

for (const width of WIDTHS) {
  test(`pipelined writers with values of ${width} B are never overtaken by themselves while slots and primaries move`, async (t) => {
    const cluster = await startShards(t, 2, true);
    const running = await startProxy({ shards: cluster.views, keys: { default: KEY }, workers: 2 });
    t.after(() => running.close());
    const writers: Writer[] = [];
    for (let i = 0; i < WRITERS; i++) {
      writers.push(new Writer(await RawClient.open(running.port), `w${i}`, width));
    }
    let stop = false;
    let widest = 0;
    // The small lanes of one worker to one shard that carry something at the same time.
    const lanes = (): number =>
      Math.max(
        ...running.proxies.flatMap(({ world }) =>
          world.topology.shards.map((shard) => [...shard.lanes].filter(carries).length),
        ),
      );
    const watching = setInterval(() => {
      widest = Math.max(widest, lanes());
    }, 5);
    t.after(() => clearInterval(watching));
    const load = writers.map(async (writer) => {
      while (!stop) await writer.round();
    });
    const rounds = (): number[] => writers.map((writer) => writer.rounds);
    const progress = async (): Promise<void> => {
      const before = rounds();
      const moved = (): boolean => rounds().every((count, i) => count > (before[i] ?? 0) + 2);
      // A writer that fails ends the wait: its error is the one to see.
      await Promise.race([eventually('all writers go on', moved, 30_000), ...load]);
    };
    try {
      await disturb(cluster, progress);
    } finally {
      stop = true;
      await Promise.all(load);
    }
    clearInterval(watching);
    if (width === 1) assert.equal(widest, 1);
    else assert.ok(widest > 1 && widest <= 1 + LANES_BESIDE, `${widest} lanes`);
    for (const writer of writers) await writer.logsInOrder();
  });
}

test('SCAN misses no key while slots move back and forth', async (t) => {
  const { shards, views } = await startShards(t, 2);
  const running = await startProxy({ shards: views, keys: { default: KEY }, workers: 2 });
  t.after(() => running.close());
  const [a, b] = shards;
  assert.ok(a && b);
  const writer = await RawClient.open(running.port);
  const keys = Array.from({ length: 2000 }, (_, i) => `scan:${i}`);
  writer.send(...keys.map((key) => ['SET', key, '1']));
  await writer.settled();
  let stop = false;
  let scans = 0;
  // Each page over another connection: the cursor is all there is to know, for any worker.
  const clients = [await RawClient.open(running.port), await RawClient.open(running.port)];
  const scanning = (async () => {
    while (!stop || scans < 2) {
      const seen = new Set<string>();
      let cursor = '0';
      let page = 0;
      do {
        const client = clients[page++ % clients.length];
        const words = ((await client?.ask('SCAN', cursor, 'COUNT', 50)) ?? '').split('\r\n');
        cursor = words[2] ?? '';
        assert.match(cursor, /^\d{1,19}$/);
        for (const word of words.slice(4)) if (word.startsWith('scan:')) seen.add(word);
      } while (cursor !== '0');
      assert.equal(keys.filter((key) => !seen.has(key)).length, 0);
      scans++;
    }
  })();
  try {
    for (let round = 0; round < 3; round++) {
      for (const [first, last] of [
        [0, 2000],
        [3000, 8000],
      ] as const) {
        await moveSlots(a.primary, b.primary, first, last);
        await agreed([a.primary, b.primary]);
        await Promise.race([
          eventually(
            'a scan ends',
            scansOf(() => scans),
          ),
          scanning,
        ]);
        await moveSlots(b.primary, a.primary, first, last);
        await agreed([a.primary, b.primary]);
      }
    }
  } finally {
    stop = true;
    await scanning;
  }
});

/** A condition: at least one more than now. */
function scansOf(count: () => number): () => boolean {
  const before = count();
  return () => count() > before;
}
