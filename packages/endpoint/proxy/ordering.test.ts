/**
 * Order, whatever moves: pipelined writers with registers and logs of their own, while slots go back
 * and forth between shards and primaries change, without a hold and without a word from the control
 * process, so that the endpoint learns everything from MOVED. No acknowledged write may be overtaken
 * by a later one of the same client: each reply is known before it comes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually, type RunningEngine } from '../../engine/testing.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, startShards, type TestShards } from './testing-engines.ts';

const MS = 3000;
const WRITERS = 6;
const KEYS = 10;
const PIPELINE = 200;
/** Commands that are written together. */
const SLICE = 8;

/** One client's knowledge of its own keys: what each must answer now. */
class Writer {
  readonly client: RawClient;
  readonly #name: string;
  readonly #registers = new Map<string, number>();
  readonly #logs = new Map<string, number>();
  #version = 0;
  rounds = 0;

  constructor(client: RawClient, name: string) {
    this.client = client;
    this.#name = name;
  }

  async round(): Promise<void> {
    const commands: string[][] = [];
    const expected: string[] = [];
    for (let i = 0; i < PIPELINE; i++) {
      const key = `${this.#name}:${Math.floor(Math.random() * KEYS)}`;
      const version = ++this.#version;
      const kind = Math.floor(Math.random() * 5);
      if (kind === 0) {
        commands.push(['SET', `r:${key}`, String(version)]);
        expected.push('+OK');
        this.#registers.set(key, version);
      } else if (kind === 1) {
        commands.push(['GET', `r:${key}`]);
        const value = this.#registers.get(key);
        expected.push(value === undefined ? '$-1' : `$${String(value).length}\r\n${value}`);
      } else if (kind === 2) {
        commands.push(['RPUSH', `l:${key}`, String(version)]);
        const length = (this.#logs.get(key) ?? 0) + 1;
        this.#logs.set(key, length);
        expected.push(`:${length}`);
      } else if (kind === 3) {
        const other = `${this.#name}:${Math.floor(Math.random() * KEYS)}`;
        commands.push(['MSET', `r:${key}`, String(version), `r:${other}`, String(version)]);
        expected.push('+OK');
        this.#registers.set(key, version);
        this.#registers.set(other, version);
      } else {
        commands.push(['EVAL', "return redis.call('LLEN', KEYS[1])", '1', `l:${key}`]);
        expected.push(`:${this.#logs.get(key) ?? 0}`);
      }
    }
    // In slices, so that some commands come while others are in flight or being sent again.
    for (let at = 0; at < PIPELINE; at += SLICE) {
      this.client.send(...commands.slice(at, at + SLICE));
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

async function moveSlots(from: RunningEngine, to: RunningEngine, first: number, last: number) {
  const node = to.launch.instance;
  const range = ['SLOTSRANGE', String(first), String(last)];
  await from.link.command(['CLUSTER', 'MIGRATESLOTS', ...range, 'NODE', node], MS);
  await eventually('the slots have moved', async () => {
    const nodes = String(await to.link.command(['CLUSTER', 'NODES'], MS));
    const mine = nodes.split('\n').find((line) => line.includes('myself')) ?? '';
    return mine.split(' ').some((word) => {
      const [low, high] = word.split('-').map(Number);
      return low !== undefined && high !== undefined && low <= first && high >= last;
    });
  });
}

/** A planned change of primary as the engine sees it; the endpoint is told nothing. */
async function switchPrimary(from: RunningEngine, to: RunningEngine): Promise<void> {
  await eventually('in sync', async () => {
    const facts = await to.link.facts(MS);
    return facts.role === 'replica' && facts.link === 'up' && !facts.syncing;
  });
  await from.link.pauseWrites(5000, MS);
  const { offset } = await from.link.facts(MS);
  await eventually('equal offsets', async () => (await to.link.facts(MS)).offset >= offset);
  await to.link.takeover(MS);
  await eventually('demoted', async () => (await from.link.facts(MS)).role === 'replica');
  await from.link.unpause(MS);
}

async function disturb({ shards }: TestShards, progress: () => Promise<void>): Promise<void> {
  const [a, b] = shards;
  assert.ok(a?.replica && b?.replica);
  let [first, firstReplica] = [a.primary, a.replica];
  let [second, secondReplica] = [b.primary, b.replica];
  for (let round = 0; round < 2; round++) {
    await moveSlots(first, second, 0, 4000);
    await progress();
    await switchPrimary(second, secondReplica);
    [second, secondReplica] = [secondReplica, second];
    await progress();
    await moveSlots(second, first, 0, 4000);
    await progress();
    await switchPrimary(first, firstReplica);
    [first, firstReplica] = [firstReplica, first];
    await progress();
  }
}

test('pipelined writers are never overtaken by themselves while slots and primaries move', async (t) => {
  const cluster = await startShards(t, 2, true);
  const running = await startProxy({ shards: cluster.views, keys: { default: KEY } });
  t.after(() => running.close());
  const writers: Writer[] = [];
  for (let i = 0; i < WRITERS; i++) {
    writers.push(new Writer(await RawClient.open(running.port), `w${i}`));
  }
  let stop = false;
  const load = writers.map(async (writer) => {
    while (!stop) await writer.round();
  });
  const rounds = (): number[] => writers.map((writer) => writer.rounds);
  const progress = async (): Promise<void> => {
    const before = rounds();
    const moved = (): boolean => rounds().every((count, i) => count > (before[i] ?? 0) + 2);
    // A writer that fails ends the wait: its error is the one to see.
    await Promise.race([eventually('all writers go on', moved, 15_000), ...load]);
  };
  try {
    await disturb(cluster, progress);
  } finally {
    stop = true;
    await Promise.all(load);
  }
  for (const writer of writers) await writer.logsInOrder();
});
