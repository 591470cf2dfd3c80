/** Questions, each answered by the cache alone. */
import type { Cache } from './cache.ts';
import { KEYS } from './load.ts';

export interface Named {
  readonly code: string;
  readonly name: string;
}

/** The largest countries, of one region or of the world. */
export async function largest(
  cache: Cache,
  count: number,
  region?: string,
): Promise<(Named & { readonly areaKm2: number })[]> {
  const key = region === undefined ? KEYS.byArea : KEYS.byAreaIn(region);
  const top = await cache.ztop(key, count);
  return Promise.all(
    top.map(async ({ member, score }) => ({ ...(await named(cache, member)), areaKm2: score })),
  );
}

/** What lies within a radius of a point, nearest first. */
export async function near(
  cache: Cache,
  longitude: number,
  latitude: number,
  radiusKm: number,
): Promise<(Named & { readonly km: number })[]> {
  const found = await cache.geosearch(KEYS.places, { longitude, latitude }, radiusKm);
  return Promise.all(
    found.map(async ({ member, km }) => ({ ...(await named(cache, member)), km })),
  );
}

/** Countries with a common border, by name. */
export async function neighbours(cache: Cache, code: string): Promise<Named[]> {
  const codes = await cache.smembers(KEYS.neighbours(code));
  const all = await Promise.all(codes.map((each) => named(cache, each)));
  return all.sort((a, b) => a.name.localeCompare(b.name));
}

export interface Change {
  readonly id: string;
  readonly code: string;
  readonly field: string;
  readonly before: string;
  readonly after: string;
}

/** What changed after an entry of the stream; '0': everything. */
export async function changesSince(cache: Cache, id: string): Promise<Change[]> {
  const entries = await cache.xafter(KEYS.changes, id, MOST_CHANGES);
  return entries.map(({ id: at, fields }) => ({
    id: at,
    code: fields['code'] ?? '',
    field: fields['field'] ?? '',
    before: fields['before'] ?? '',
    after: fields['after'] ?? '',
  }));
}

const MOST_CHANGES = 100;

async function named(cache: Cache, code: string): Promise<Named> {
  return { code, name: (await cache.hget(KEYS.country(code), 'name')) ?? code };
}
