/** The cache through `redis` (node-redis), with its typed methods. */
import { createClient, createCluster } from 'redis';
import type { Address, Cache } from './cache.ts';

export async function openNodeRedis(address: Address): Promise<Cache> {
  const client = address.cluster ? await cluster(address) : await single(address);
  return {
    async hset(key, fields) {
      await client.hSet(key, { ...fields });
    },
    hget: (key, field) => client.hGet(key, field),
    async hgetall(key) {
      return { ...(await client.hGetAll(key)) };
    },
    async zadd(key, score, member) {
      await client.zAdd(key, { score, value: member });
    },
    async ztop(key, count) {
      const top = await client.zRangeWithScores(key, 0, count - 1, { REV: true });
      return top.map(({ value, score }) => ({ member: value, score }));
    },
    async sadd(key, members) {
      await client.sAdd(key, [...members]);
    },
    smembers: (key) => client.sMembers(key),
    async geoadd(key, { member, longitude, latitude }) {
      await client.geoAdd(key, { member, longitude, latitude });
    },
    async geosearch(key, from, radiusKm) {
      const found = await client.geoSearchWith(
        key,
        { ...from },
        { radius: radiusKm, unit: 'km' },
        ['WITHDIST'],
        { SORT: 'ASC' },
      );
      return found.map(({ member, distance }) => ({ member, km: Number(distance) }));
    },
    xadd: (key, fields) => client.xAdd(key, '*', { ...fields }),
    async xafter(key, id, count) {
      const entries = await client.xRange(key, id === '0' ? '-' : `(${id}`, '+', { COUNT: count });
      return (entries ?? []).map(({ id: at, message }) => ({ id: at, fields: { ...message } }));
    },
    async del(keys) {
      await Promise.all(keys.map((key) => client.del(key)));
    },
    close: () => void client.destroy(),
  };
}

function security({ url, ca }: Address): object {
  if (!url.startsWith('rediss:')) return {};
  const { hostname } = new URL(url);
  return { socket: { tls: true, ca, servername: hostname } };
}

async function single(address: Address) {
  const client = createClient({ url: address.url, ...security(address) });
  // Said by every command as well; without a listener it would end the program.
  client.on('error', () => undefined);
  return client.connect();
}

async function cluster(address: Address) {
  const { username, password } = new URL(address.url);
  const client = createCluster({
    rootNodes: [{ url: address.url }],
    defaults: { username, password: decodeURIComponent(password), ...security(address) },
  });
  client.on('error', () => undefined);
  return client.connect();
}
