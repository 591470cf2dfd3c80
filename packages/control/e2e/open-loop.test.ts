/**
 * Writers that never wait, on one address over two shards, while each shard's primary is killed in
 * turn. Their connections stay; every command is answered; what failed says that its outcome is
 * unknown, and only on the shard that was killed; nothing was executed twice.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Redis } from 'ioredis';
import { keySlot } from '../../resp/index.ts';
import { once, target } from './clients.ts';
import { HEAL_DEADLINE_MS } from './limits.ts';
import { eventually, Service } from './service.ts';

const NAME = 'routed';
const WRITERS = 6;
const KEYS = 8;
/** Each writer sends one command this often, answered or not. */
const SEND_EVERY_MS = 5;
/** Acknowledged by each key between two events: so the load is there when they happen. */
const WARM = 20;

const service = new Service({ miniature: { memoryDivisor: 16, maxShards: 2 } });
before(() => service.up());
after(() => service.close());

class Tally {
  readonly key: string;
  sent = 0;
  acknowledged = 0;
  readonly errors: string[] = [];
  longestMs = 0;

  constructor(key: string) {
    this.key = key;
  }

  get open(): number {
    return this.sent - this.acknowledged - this.errors.length;
  }

  send(redis: Redis): void {
    const began = performance.now();
    this.sent += 1;
    redis
      .incr(this.key)
      .then(
        () => {
          this.acknowledged += 1;
        },
        (error: unknown) => this.errors.push(String(error)),
      )
      .finally(() => {
        this.longestMs = Math.max(this.longestMs, performance.now() - began);
      });
  }
}

test('each primary of two shards is killed under open-loop writers', async (t) => {
  await service.create(NAME, { sku: 'ComputeOptimized_X3' });
  const shards = await service.healthy(NAME);
  assert.equal(shards.length, 2);
  const to = await target(service, NAME, 'EnterpriseCluster');
  const shardOf = (key: string): number => {
    const slot = keySlot(key);
    return shards.findIndex(({ shard }) =>
      shard.slots.some(([first, last]) => slot >= first && slot <= last),
    );
  };
  const tallies: Tally[][] = [];
  const clients: Redis[] = [];
  const timers: NodeJS.Timeout[] = [];
  let ended = 0;
  t.after(() => {
    for (const timer of timers) clearInterval(timer);
    for (const client of clients) client.disconnect();
  });
  for (let w = 0; w < WRITERS; w++) {
    const client = once(to);
    await client.connect();
    client.on('close', () => {
      ended += 1;
    });
    const mine = Array.from({ length: KEYS }, (_, k) => new Tally(`w${w}:${k}`));
    let turn = 0;
    timers.push(setInterval(() => mine[turn++ % KEYS]?.send(client), SEND_EVERY_MS));
    clients.push(client);
    tallies.push(mine);
  }
  const all = tallies.flat();
  assert.deepEqual(new Set(all.map((tally) => shardOf(tally.key))), new Set([0, 1]));
  const goesOn = async (): Promise<void> => {
    const from = all.map((tally) => tally.acknowledged);
    await eventually('each key is written', HEAL_DEADLINE_MS, () =>
      all.every((tally, i) => tally.acknowledged >= (from[i] ?? 0) + WARM) ? true : null,
    );
  };
  for (const victim of [0, 1]) {
    await goesOn();
    const now = await service.healthy(NAME);
    const failedBefore = all.map((tally) => tally.errors.length);
    const primary = now[victim]?.instances.find((each) => each.role === 'primary')?.instance;
    assert.ok(primary?.process != null);
    process.kill(primary.process.pid, 'SIGKILL');
    await eventually('another primary', HEAL_DEADLINE_MS, async () => {
      const { shard } = (await service.shards(NAME))[victim] ?? assert.fail();
      return shard.phase === 'serving' && shard.primary !== primary.id ? true : null;
    });
    await goesOn();
    const strayed = all.filter(
      (tally, i) => shardOf(tally.key) !== victim && tally.errors.length > (failedBefore[i] ?? 0),
    );
    assert.deepEqual(
      strayed.map((tally) => tally.errors),
      [],
      'the other shard noticed',
    );
  }
  for (const timer of timers) clearInterval(timer);
  await eventually('every command is answered', HEAL_DEADLINE_MS, () =>
    all.every((tally) => tally.open === 0) ? true : null,
  );
  assert.equal(ended, 0, 'connections that broke');
  const errors = all.flatMap((tally) => tally.errors);
  for (const error of errors) assert.match(error, /OUTCOMEUNKNOWN .*may or may not/);
  const values = await Promise.all(all.map((tally) => clients[0]?.get(tally.key)));
  let lost = 0;
  for (const [i, tally] of all.entries()) {
    const value = Number(values[i]);
    const most = tally.acknowledged + tally.errors.length;
    assert.ok(value <= most, `${tally.key}: ${value} increments, at most ${most} were asked once`);
    lost += Math.max(0, tally.acknowledged - value);
  }
  const sum = (of: (tally: Tally) => number) => all.reduce((n, tally) => n + of(tally), 0);
  t.diagnostic(
    `${sum((tally) => tally.acknowledged)} acknowledged, ${errors.length} unknown, ${lost} acknowledged but lost with the primary; longest wait ${Math.round(Math.max(...all.map((tally) => tally.longestMs)))} ms`,
  );
});
