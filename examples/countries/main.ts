/**
 * Loads the countries of the world into a cache and asks it about them.
 *
 *   REDIS_URL=rediss://default:<key>@localhost:10000 CA_FILE=.../ca.pem node examples/countries/main.ts
 *
 * CLIENT: ioredis (default), redis or iovalkey. CLUSTER=1 for a cache with the policy OSSCluster.
 */
import { readFileSync } from 'node:fs';
import { changesSince, largest, near, neighbours } from './ask.ts';
import type { Address, Cache } from './cache.ts';
import { change, load } from './load.ts';
import { openIoredis } from './with-ioredis.ts';
import { openIovalkey } from './with-iovalkey.ts';
import { openNodeRedis } from './with-node-redis.ts';

type Open = (address: Address) => Cache | Promise<Cache>;

const CLIENTS: Readonly<Record<string, Open>> = {
  ioredis: openIoredis,
  redis: openNodeRedis,
  iovalkey: openIovalkey,
};

const { REDIS_URL: url, CA_FILE: caFile, CLUSTER: cluster, CLIENT: name = 'ioredis' } = process.env;
const open = CLIENTS[name];
if (url === undefined || open === undefined) {
  console.error(
    'Set REDIS_URL (cinnabar keys list quickstart) and CA_FILE (cinnabar status); CLIENT is ioredis, redis or iovalkey.',
  );
  process.exit(2);
}

const cache = await open({
  url,
  cluster: cluster === '1',
  ...(caFile === undefined ? {} : { ca: readFileSync(caFile, 'utf8') }),
});
try {
  const { countries, regions } = await load(cache);
  console.log(`${countries} countries of ${regions.length} regions are in the cache (${name}).`);

  console.log('\nThe five largest:');
  for (const { name: country, areaKm2 } of await largest(cache, 5)) {
    console.log(`  ${country.padEnd(16)} ${areaKm2.toLocaleString('en')} km²`);
  }

  console.log('\nWithin 500 km of Bern:');
  for (const { name: country, km } of await near(cache, 7.45, 46.95, 500)) {
    console.log(`  ${country.padEnd(16)} ${km.toFixed(0)} km`);
  }

  const around = await neighbours(cache, 'AUT');
  console.log(`\nAustria borders on ${around.map((each) => each.name).join(', ')}.`);

  const start = await change(cache, 'KAZ', 'capital', 'Nur-Sultan');
  await change(cache, 'KAZ', 'capital', 'Astana');
  console.log('\nChanges since the first one:');
  for (const { code, field, before, after } of await changesSince(cache, start)) {
    console.log(`  ${code} ${field}: ${before} -> ${after}`);
  }
} finally {
  cache.close();
}
