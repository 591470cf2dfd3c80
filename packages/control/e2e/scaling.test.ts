/**
 * The number of shards changes under clients of the one address: open-loop writers, scripts by their
 * hash, functions, transactions and SCAN, as job queues use them. None of them sees an error, nothing
 * acknowledged is missing, and nothing ran twice.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Redis } from 'ioredis';
import { once, target } from './clients.ts';
import { eventually, Service } from './service.ts';

const NAME = 'scaled';
const SCALE_DEADLINE_MS = 120_000;
const SEND_EVERY_MS = 10;
const KEYS = 24;
const SCANNED = 2_000;
/** As a queue's: moves a job between two keys of one tag and counts it. */
const SCRIPT =
  "redis.call('RPUSH', KEYS[1], ARGV[1]); redis.call('LTRIM', KEYS[1], -10, -1); return redis.call('INCR', KEYS[2])";
const LIBRARY = `#!lua name=queue
server.register_function('count', function(keys, args) return server.call('INCR', keys[1]) end)`;

const service = new Service({ miniature: { memoryDivisor: 16, maxShards: 3 } });
before(() => service.up());
after(() => service.close());

/** What one kind of command has been told so far. */
class Tally {
  readonly key: string;
  readonly #send: (redis: Redis, key: string) => Promise<unknown>;
  acknowledged = 0;
  open = 0;
  readonly errors: string[] = [];

  constructor(key: string, send: (redis: Redis, key: string) => Promise<unknown>) {
    this.key = key;
    this.#send = send;
  }

  go(redis: Redis): void {
    this.open += 1;
    this.#send(redis, this.key)
      .then(
        () => {
          this.acknowledged += 1;
        },
        (error: unknown) => this.errors.push(`${this.key}: ${error}`),
      )
      .finally(() => {
        this.open -= 1;
      });
  }
}

async function scanAll(redis: Redis): Promise<Set<string>> {
  const seen = new Set<string>();
  let cursor = '0';
  do {
    const [next, keys] = await redis.scan(cursor, 'MATCH', 'scan:*', 'COUNT', 50);
    for (const key of keys) seen.add(key);
    cursor = next;
  } while (cursor !== '0');
  return seen;
}

/** What is shown of the change that ended last. */
async function stepsShown(): Promise<string[]> {
  const { body } = await service.call('GET', '/cinnabar/operations', undefined, { query: 'top=5' });
  const list: { kind: string; steps: { name: string }[] }[] = body.value;
  const last = list.find(({ kind }) => kind === 'UpdateCluster');
  return last?.steps.map(({ name }) => name) ?? [];
}

async function scale(sku: string, shards: number): Promise<void> {
  const answer = await service.call('PATCH', service.cluster(NAME), { sku: { name: sku } });
  assert.ok(answer.status < 300, JSON.stringify(answer.body));
  await eventually(`${sku} is there`, SCALE_DEADLINE_MS, async () => {
    const { body } = await service.call('GET', service.cluster(NAME));
    return body.properties.provisioningState === 'Succeeded' ? true : null;
  });
  assert.equal((await service.healthy(NAME)).length, shards);
}

test('1 to 3 to 1 shards under writers, scripts, functions, transactions and SCAN', async (t) => {
  await service.create(NAME, { sku: 'Balanced_B1' });
  const to = await target(service, NAME, 'EnterpriseCluster');
  const redis = once(to);
  const scanner = once(to);
  await Promise.all([redis.connect(), scanner.connect()]);
  const sha = String(await redis.script('LOAD', SCRIPT));
  await redis.call('FUNCTION', 'LOAD', LIBRARY);
  const filled = Array.from({ length: SCANNED }, (_, i) => redis.set(`scan:${i}`, 'x'.repeat(100)));
  await Promise.all(filled);
  const kinds: ((r: Redis, key: string) => Promise<unknown>)[] = [
    (r, key) => r.incr(key),
    (r, key) => r.evalsha(sha, 2, `{${key}}jobs`, key, 'job'),
    (r, key) => r.call('FCALL', 'count', 1, key),
    (r, key) => r.multi().incr(key).ping().exec(),
  ];
  const tallies = kinds.flatMap((send, k) =>
    Array.from({ length: KEYS }, (_, i) => new Tally(`k${k}:${i}`, send)),
  );
  let turn = 0;
  let scanning = true;
  const timer = setInterval(() => {
    for (const _ of kinds) tallies[turn++ % tallies.length]?.go(redis);
  }, SEND_EVERY_MS);
  t.after(() => {
    clearInterval(timer);
    scanning = false;
    redis.disconnect();
    scanner.disconnect();
  });
  let scans = 0;
  const scan = (async () => {
    while (scanning) {
      const seen = await scanAll(scanner);
      assert.equal(seen.size, SCANNED, 'SCAN missed keys while slots moved');
      scans += 1;
    }
  })();

  await scale('Balanced_B20', 3);
  assert.deepEqual(await stepsShown(), ['Start new shards', 'Move slots', 'Apply the change']);
  await scale('Balanced_B1', 1);
  assert.deepEqual(await stepsShown(), ['Move slots', 'Remove empty shards', 'Apply the change']);

  clearInterval(timer);
  scanning = false;
  await scan;
  await eventually('every command is answered', SCALE_DEADLINE_MS, () =>
    tallies.every((tally) => tally.open === 0) ? true : null,
  );
  assert.deepEqual(
    tallies.flatMap((tally) => tally.errors),
    [],
  );
  const values = await Promise.all(tallies.map((tally) => redis.get(tally.key)));
  for (const [i, tally] of tallies.entries()) {
    assert.equal(Number(values[i] ?? 0), tally.acknowledged, tally.key);
  }
  const sum = tallies.reduce((n, tally) => n + tally.acknowledged, 0);
  t.diagnostic(`${sum} acknowledged, ${scans} whole scans, no error`);
  assert.ok(scans > 0);
});

test('a change is canceled: everything is as before, and it says Canceled', async () => {
  const answer = await service.call('PATCH', service.cluster(NAME), {
    sku: { name: 'Balanced_B20' },
  });
  assert.ok(answer.status < 300);
  const running = await eventually('it runs', SCALE_DEADLINE_MS, async () => {
    const { body } = await service.call('GET', '/cinnabar/operations', undefined, {
      query: 'top=5',
    });
    const list: { id: string; kind: string; endedAt: number | null }[] = body.value;
    return list.find((each) => each.kind === 'UpdateCluster' && each.endedAt === null) ?? null;
  });
  const canceled = await service.call('POST', `/cinnabar/operations/${running.id}/cancel`, {});
  assert.equal(canceled.status, 202, JSON.stringify(canceled.body));
  const { error } = await eventually('it ended', SCALE_DEADLINE_MS, async () => {
    const { body } = await service.call('GET', `/cinnabar/operations/${running.id}`);
    return body.status === 'Canceled' ? body : null;
  });
  assert.match(
    error.message,
    /^Canceled by api-token at \d{4}-[\d-]+T[\d:]+Z: everything is as it was before\.$/,
  );
  assert.equal((await service.healthy(NAME)).length, 1);
  const cluster = (await service.call('GET', service.cluster(NAME))).body;
  assert.equal(cluster.sku.name, 'Balanced_B1');
  assert.equal(cluster.properties.provisioningState, 'Succeeded');
  const again = await service.call('POST', `/cinnabar/operations/${running.id}/cancel`, {});
  assert.equal(again.status, 409);
});
