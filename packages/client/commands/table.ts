/**
 * What the kit needs to know of a command: whether it may be repeated, where its keys are, and on
 * which kind of connection it belongs. Facts as in the command tables of Valkey 9 (COMMAND INFO:
 * flags `write`, `readonly`, `blocking`; key specs); commands that are not here are taken as writes
 * whose first argument is their key, which is the careful reading of both.
 */

/**
 * - data: ordinary, keyed. - free: no key, changes nothing that order matters to.
 * - barrier: changes something all connections see; waits for what is in flight, and others for it.
 * - blocking: holds its connection. - subscribe: turns it into a listener.
 * - session: state of one connection (MULTI, WATCH). - everywhere: state that every lane needs.
 * - refused: cannot mean anything on a connection that is one of several.
 */
export type Place =
  | 'data'
  | 'free'
  | 'barrier'
  | 'blocking'
  | 'subscribe'
  | 'session'
  | 'everywhere'
  | 'refused';

/**
 * Where keys are, counted from the first argument after the name: `one` at 0, `all`, `pairs`
 * (every second from 0), `two` (0 and 1), `numkeys0/1` (a count at that place, then the keys), `numpairs` (a count,
 * then pairs of key and value), `store` (at 0, and behind the word STORE or STOREDIST),
 * `streams` (half of what follows STREAMS), `second` (at 1: OBJECT ENCODING key, ...), `none`.
 */
export type KeySpec =
  | 'none'
  | 'one'
  | 'two'
  | 'second'
  | 'all'
  | 'allButLast'
  | 'pairs'
  | 'afterFirst'
  | 'numkeys0'
  | 'numkeys1'
  | 'storeNumkeys'
  | 'numpairs'
  | 'store'
  | 'streams';

export interface CommandFacts {
  /** In lower case. */
  readonly name: string;
  readonly read: boolean;
  readonly place: Place;
  readonly keys: KeySpec;
}

const table = new Map<string, CommandFacts>();

function define(names: string, read: boolean, place: Place, keys: KeySpec): void {
  for (const name of names.trim().split(/\s+/)) table.set(name, { name, read, place, keys });
}

define(
  `get getrange substr strlen getbit bitcount bitpos bitfield_ro digest
   hget hmget hgetall hkeys hvals hlen hexists hstrlen hrandfield hscan httl hpttl hexpiretime hpexpiretime
   lrange lindex llen lpos
   scard sismember smismember smembers srandmember sscan
   zcard zcount zlexcount zscore zmscore zrank zrevrank zrange zrevrange zrangebyscore zrevrangebyscore
   zrangebylex zrevrangebylex zrandmember zscan
   xlen xrange xrevrange xpending
   geopos geodist geohash geosearch georadius_ro georadiusbymember_ro
   type ttl pttl expiretime pexpiretime dump sort_ro json.get json.type`,
  true,
  'data',
  'one',
);
define('mget exists touch sinter sunion sdiff pfcount', true, 'data', 'all');
define('zinter zunion zdiff sintercard zintercard', true, 'data', 'numkeys0');
define('lcs', true, 'data', 'two');
define('object memory xinfo', true, 'data', 'second');
define(
  `set setex psetex setnx getset getdel getex append incr incrby incrbyfloat decr decrby setrange setbit bitfield
   delifeq
   hset hsetnx hmset hdel hincrby hincrbyfloat hexpire hpexpire hexpireat hpexpireat hpersist hgetdel hgetex hsetex
   lpush rpush lpushx rpushx lpop rpop lset lrem ltrim linsert
   sadd srem spop zadd zincrby zrem zremrangebyscore zremrangebyrank zremrangebylex zpopmin zpopmax
   xadd xtrim xdel xack xclaim xautoclaim xsetid
   geoadd expire pexpire expireat pexpireat persist restore move pfadd
   json.set json.del`,
  false,
  'data',
  'one',
);
define('sort georadius georadiusbymember', false, 'data', 'store');
define('msetex', false, 'data', 'numpairs');
define('xgroup', false, 'data', 'second');
define('del unlink pfmerge sinterstore sunionstore sdiffstore', false, 'data', 'all');
define('mset msetnx', false, 'data', 'pairs');
define(
  'rename renamenx rpoplpush lmove smove copy zrangestore geosearchstore',
  false,
  'data',
  'two',
);
define('bitop', false, 'data', 'afterFirst');
define('lmpop zmpop', false, 'data', 'numkeys0');
define('zinterstore zunionstore zdiffstore', false, 'data', 'storeNumkeys');
define('eval evalsha fcall', false, 'data', 'numkeys1');
define('eval_ro evalsha_ro fcall_ro', true, 'data', 'numkeys1');
define('xread', true, 'data', 'streams');
define('xreadgroup', false, 'data', 'streams');
// A channel is no key, but what is sent to it has an order, too.
define('publish spublish', false, 'data', 'one');

define('blpop brpop bzpopmin bzpopmax', false, 'blocking', 'allButLast');
define('brpoplpush blmove', false, 'blocking', 'two');
define('blmpop bzmpop', false, 'blocking', 'numkeys1');
define('wait waitaof', false, 'barrier', 'none');

define(
  'ping echo time info dbsize lastsave command randomkey scan clusterscan keys lolwut pubsub slowlog latency commandlog role cluster',
  true,
  'free',
  'none',
);
define(
  'flushall flushdb swapdb script function config save bgsave bgrewriteaof acl debug module shutdown failover replicaof slaveof migrate',
  false,
  'barrier',
  'none',
);
define(
  'subscribe psubscribe ssubscribe unsubscribe punsubscribe sunsubscribe',
  false,
  'subscribe',
  'none',
);
define('multi exec discard watch unwatch', false, 'session', 'none');
define('select auth readonly readwrite hello', false, 'everywhere', 'none');
define('client', false, 'free', 'none');
define('monitor reset asking sync psync replconf quit', false, 'refused', 'none');

/** The same by every spelling that was asked for: node-redis writes GET, ioredis get. */
const bySpelling = new Map<string, CommandFacts>(table);

/** Facts of a command by its name in any case. */
export function factsOf(spelling: string): CommandFacts {
  return bySpelling.get(spelling) ?? learn(spelling);
}

function learn(spelling: string): CommandFacts {
  const name = spelling.toLowerCase();
  const known = table.get(name);
  const facts: CommandFacts = known ?? { name, read: false, place: 'data', keys: 'one' };
  // Names that no table has may come from outside: they are not kept.
  if (known !== undefined && bySpelling.size < table.size * 4) bySpelling.set(spelling, facts);
  return facts;
}

export function isKnown(name: string): boolean {
  return table.has(name);
}

/** Names by place, for documents and tests. */
export function commandNames(): readonly string[] {
  return [...table.keys()];
}
