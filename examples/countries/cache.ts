/**
 * The few words of a cache that this program needs. Each client library says them in its own way, in
 * a file of its own: with-ioredis.ts, with-node-redis.ts, with-iovalkey.ts.
 */

export interface Cache {
  hset(key: string, fields: Readonly<Record<string, string>>): Promise<void>;
  hget(key: string, field: string): Promise<string | null>;
  hgetall(key: string): Promise<Record<string, string>>;
  zadd(key: string, score: number, member: string): Promise<void>;
  /** Members with the highest scores, highest first. */
  ztop(key: string, count: number): Promise<{ member: string; score: number }[]>;
  sadd(key: string, members: readonly string[]): Promise<void>;
  smembers(key: string): Promise<string[]>;
  geoadd(key: string, place: Place): Promise<void>;
  /** Nearest first, with the distance in kilometres. */
  geosearch(
    key: string,
    from: { readonly longitude: number; readonly latitude: number },
    radiusKm: number,
  ): Promise<{ member: string; km: number }[]>;
  /** Answers the entry's id. */
  xadd(key: string, fields: Readonly<Record<string, string>>): Promise<string>;
  /** Entries after this id ('0' for all), oldest first, at most `count`. */
  xafter(
    key: string,
    id: string,
    count: number,
  ): Promise<{ id: string; fields: Record<string, string> }[]>;
  /** Keys are deleted one by one: in a cluster each may live on another shard. */
  del(keys: readonly string[]): Promise<void>;
  close(): void;
}

export interface Place {
  readonly member: string;
  readonly longitude: number;
  readonly latitude: number;
}

/** Where the cache is, and how it is spoken to. */
export interface Address {
  /** rediss://default:<key>@localhost:<port>, or redis:// without TLS. */
  readonly url: string;
  /** Certificate of the authority that signed the cache's own; not needed without TLS. */
  readonly ca?: string;
  /** Policy OSSCluster: the address is a seed, and the client goes to the shards itself. */
  readonly cluster: boolean;
}
