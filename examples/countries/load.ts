/** From the data set to keys. Nothing here knows a client library. */
import type { Cache } from './cache.ts';
import { COUNTRIES, type Country } from './data.ts';

/** Names of keys; a colon separates kind from name. */
export const KEYS = {
  country: (code: string) => `country:${code}`,
  neighbours: (code: string) => `neighbours:${code}`,
  places: 'places',
  byArea: 'countries:by-area',
  byAreaIn: (region: string) => `countries:by-area:${region}`,
  changes: 'changes',
} as const;

/** A geo index ends near the poles, as web maps do: Antarctica is not in it. */
const GEO_LATITUDES = 85.05;
/** Countries written at once; their commands share the connection. */
const AT_ONCE = 25;

export interface Loaded {
  readonly countries: number;
  readonly neighbourhoods: number;
  readonly regions: readonly string[];
}

/** Loads everything; what an earlier run left is replaced. */
export async function load(cache: Cache): Promise<Loaded> {
  const regions = [...new Set(COUNTRIES.map(({ region }) => region))].sort();
  await cache.del([
    KEYS.places,
    KEYS.byArea,
    KEYS.changes,
    ...regions.map(KEYS.byAreaIn),
    ...COUNTRIES.flatMap(({ code }) => [KEYS.country(code), KEYS.neighbours(code)]),
  ]);
  for (let i = 0; i < COUNTRIES.length; i += AT_ONCE) {
    await Promise.all(COUNTRIES.slice(i, i + AT_ONCE).map((country) => loadOne(cache, country)));
  }
  return {
    countries: COUNTRIES.length,
    neighbourhoods: COUNTRIES.filter(({ neighbours }) => neighbours.length > 0).length,
    regions,
  };
}

async function loadOne(cache: Cache, country: Country): Promise<void> {
  const { code, name, capital, region, areaKm2, latitude, longitude, neighbours } = country;
  await Promise.all([
    cache.hset(KEYS.country(code), { name, capital, region, areaKm2: String(areaKm2) }),
    ...(Math.abs(latitude) > GEO_LATITUDES
      ? []
      : [cache.geoadd(KEYS.places, { member: code, longitude, latitude })]),
    cache.zadd(KEYS.byArea, areaKm2, code),
    cache.zadd(KEYS.byAreaIn(region), areaKm2, code),
    ...(neighbours.length > 0 ? [cache.sadd(KEYS.neighbours(code), neighbours)] : []),
  ]);
}

/** Changes one field and writes down that it did; answers the id of the entry. */
export async function change(
  cache: Cache,
  code: string,
  field: string,
  value: string,
): Promise<string> {
  const before = (await cache.hget(KEYS.country(code), field)) ?? '';
  await cache.hset(KEYS.country(code), { [field]: value });
  return cache.xadd(KEYS.changes, { code, field, before, after: value });
}
