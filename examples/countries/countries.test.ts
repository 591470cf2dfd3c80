/** The example against a fresh cache of each policy, through each client; and as a user runs it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startCache, type TestCache } from '../../packages/testing/index.ts';
import { changesSince, largest, near, neighbours } from './ask.ts';
import type { Address, Cache } from './cache.ts';
import { COUNTRIES } from './data.ts';
import { change, KEYS, load } from './load.ts';
import { openIoredis } from './with-ioredis.ts';
import { openIovalkey } from './with-iovalkey.ts';
import { openNodeRedis } from './with-node-redis.ts';

const run = promisify(execFile);

const CLIENTS: Readonly<Record<string, (address: Address) => Cache | Promise<Cache>>> = {
  ioredis: openIoredis,
  redis: openNodeRedis,
  iovalkey: openIovalkey,
};

const POLICIES = [
  { policy: 'EnterpriseCluster', sku: 'Balanced_B0' },
  { policy: 'NoCluster', sku: 'Balanced_B0' },
  // Two shards.
  { policy: 'OSSCluster', sku: 'Balanced_B3' },
] as const;

async function answers(cache: Cache): Promise<void> {
  const loaded = await load(cache);
  assert.equal(loaded.countries, 250);
  assert.deepEqual(loaded.regions, [
    'Africa',
    'Americas',
    'Antarctic',
    'Asia',
    'Europe',
    'Oceania',
  ]);

  assert.deepEqual(await cache.hgetall(KEYS.country('CHE')), {
    name: 'Switzerland',
    capital: 'Bern',
    region: 'Europe',
    areaKm2: '41284',
  });
  const names = (all: readonly { readonly name: string }[]) => all.map(({ name }) => name);
  assert.deepEqual(names(await largest(cache, 3)), ['Russia', 'Antarctica', 'Canada']);
  const [first] = await largest(cache, 1, 'Africa');
  assert.deepEqual(first, { code: 'DZA', name: 'Algeria', areaKm2: 2_381_741 });

  const around = await near(cache, 8, 47, 300);
  assert.equal(around[0]?.code, 'CHE');
  assert.ok(
    around.some(({ code }) => code === 'LIE') && !around.some(({ code }) => code === 'PRT'),
  );
  assert.deepEqual(
    [...around].sort((a, b) => a.km - b.km),
    around,
  );

  assert.deepEqual(names(await neighbours(cache, 'PRT')), ['Spain']);
  assert.deepEqual(names(await neighbours(cache, 'CHE')), [
    'Austria',
    'France',
    'Germany',
    'Italy',
    'Liechtenstein',
  ]);
  assert.deepEqual(await neighbours(cache, 'ISL'), []);

  assert.deepEqual(await changesSince(cache, '0'), []);
  const one = await change(cache, 'KAZ', 'capital', 'Nur-Sultan');
  const two = await change(cache, 'KAZ', 'capital', 'Astana');
  assert.deepEqual(await changesSince(cache, one), [
    { id: two, code: 'KAZ', field: 'capital', before: 'Nur-Sultan', after: 'Astana' },
  ]);
  assert.equal((await changesSince(cache, '0')).length, 2);

  // Every country, as the set has it.
  for (const { code, name, capital } of COUNTRIES) {
    const stored = await cache.hgetall(KEYS.country(code));
    assert.equal(stored['name'], name);
    if (code !== 'KAZ') assert.equal(stored['capital'], capital);
  }
}

function addressOf(cache: TestCache, policy: string): Address {
  return { url: cache.url, ca: cache.ca, cluster: policy === 'OSSCluster' };
}

for (const { policy, sku } of POLICIES) {
  test(policy, async (t) => {
    const service = await startCache({ policy, sku });
    t.after(() => service.stop());
    const address = addressOf(service, policy);
    for (const [name, open] of Object.entries(CLIENTS)) {
      await t.test(name, async () => {
        const cache = await open(address);
        try {
          await answers(cache);
        } finally {
          cache.close();
        }
      });
    }
    await t.test('the program', async () => {
      const { stdout } = await run(
        process.execPath,
        [
          '--disable-warning=ExperimentalWarning',
          fileURLToPath(new URL('./main.ts', import.meta.url)),
        ],
        {
          env: {
            ...process.env,
            REDIS_URL: service.url,
            CA_FILE: service.caFile,
            CLIENT: 'redis',
            CLUSTER: address.cluster ? '1' : '0',
          },
        },
      );
      assert.match(stdout, /^250 countries of 6 regions are in the cache \(redis\)\.$/m);
      assert.match(stdout, /^ {2}Russia +17,098,242 km²$/m);
      assert.match(stdout, /^Austria borders on Czechia, Germany, Hungary, Italy, Liechtenstein/m);
      assert.match(stdout, /^ {2}KAZ capital: Nur-Sultan -> Astana$/m);
    });
  });
}
