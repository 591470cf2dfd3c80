/** `ioredis` and `iovalkey` are of one family: the same methods, with the replies as the wire has them. */
import type { Cache } from './cache.ts';

/** What both classes, single and cluster, have of it. */
interface IoClient {
  call(command: string, ...args: (string | number)[]): Promise<unknown>;
  disconnect(): void;
}

export function ioCommands(client: IoClient): Cache {
  const ask = async <T>(command: string, ...args: (string | number)[]): Promise<T> =>
    (await client.call(command, ...args)) as T;
  return {
    async hset(key, fields) {
      await ask('HSET', key, ...Object.entries(fields).flat());
    },
    hget: (key, field) => ask('HGET', key, field),
    async hgetall(key) {
      return Object.fromEntries(pairs(await ask<string[]>('HGETALL', key)));
    },
    async zadd(key, score, member) {
      await ask('ZADD', key, score, member);
    },
    async ztop(key, count) {
      const flat = await ask<(string | string[])[]>(
        'ZRANGE',
        key,
        0,
        count - 1,
        'REV',
        'WITHSCORES',
      );
      return pairs(flat).map(([member, score]) => ({ member, score: Number(score) }));
    },
    async sadd(key, members) {
      await ask('SADD', key, ...members);
    },
    smembers: (key) => ask('SMEMBERS', key),
    async geoadd(key, { member, longitude, latitude }) {
      await ask('GEOADD', key, longitude, latitude, member);
    },
    async geosearch(key, { longitude, latitude }, radiusKm) {
      const found = await ask<[string, string][]>(
        'GEOSEARCH',
        key,
        ...['FROMLONLAT', longitude, latitude, 'BYRADIUS', radiusKm, 'km', 'ASC', 'WITHDIST'],
      );
      return found.map(([member, km]) => ({ member, km: Number(km) }));
    },
    xadd: (key, fields) => ask('XADD', key, '*', ...Object.entries(fields).flat()),
    async xafter(key, id, count) {
      const entries = await ask<[string, string[]][]>(
        'XRANGE',
        key,
        id === '0' ? '-' : `(${id}`,
        '+',
        'COUNT',
        count,
      );
      return entries.map(([at, flat]) => ({ id: at, fields: Object.fromEntries(pairs(flat)) }));
    },
    async del(keys) {
      await Promise.all(keys.map((key) => ask('DEL', key)));
    },
    close: () => client.disconnect(),
  };
}

/** RESP2 sends them one after the other, RESP3 (the default of `ioredis` 6) scores as pairs. */
function pairs(reply: readonly (string | readonly string[])[]): [string, string][] {
  const flat = reply.flat();
  const all: [string, string][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) all.push([flat[i] ?? '', flat[i + 1] ?? '']);
  return all;
}
