/**
 * At least one example of every command that clients may use, run against three shards and a bare
 * engine (`table.test.ts`), which must answer the same. One command a line, in order, because later
 * ones use what earlier ones wrote. Words are separated by blanks.
 */
export const EXAMPLES: readonly string[] = `
set s hello | get s | append s !! | strlen s | getrange s 0 2 | substr s 0 1 | setrange s 1 E | getset s x | getdel s | setnx s 1 | setex e 1000 v
psetex e 100000 v | getex e | incr n | incrby n 5 | incrbyfloat n 1.5 | decr n2 | decrby n2 4 | mset a 1 b 2 c 3 | mget a b c none | msetnx {m}a 1 {m}b 2
msetex 1 {m}a 9 | delifeq a 1 | lcs {m}a {m}b | del a b none | unlink c none | exists s n none | touch s n none | type s | object encoding s
object refcount s | object idletime none | object freq none | object help | expire s 1000 | expireat s 9999999999 | pexpire s 1000000 | pexpireat s 9999999999000
ttl none | pttl none | expiretime s | pexpiretime s | persist s | rename {m}a {m}c | renamenx {m}c {m}d | copy {m}d {m}e | dump none | keys none* | scan 0
randomkey | sort l | sort_ro l | wait 0 1 | waitaof 0 0 1 | move none 1 | restore r 0 x
setbit bits 7 1 | getbit bits 7 | bitcount bits | bitpos bits 1 | bitop not {m}x {m}d | bitfield bits get u4 0 | bitfield_ro bits get u4 0
hset h f 1 g 2 | hget h f | hgetall h | hkeys h | hvals h | hlen h | hexists h f | hmget h f g x | hmset h z 3 | hsetnx h f 9 | hstrlen h f | hincrby h f 2
hincrbyfloat h f 0.5 | hdel h z | hscan h 0 | hrandfield none | hexpire h 1000 fields 1 f | hpexpire h 1000000 fields 1 f | hexpireat h 9999999999 fields 1 f
hpexpireat h 9999999999000 fields 1 f | httl h fields 1 g | hpttl h fields 1 g | hexpiretime h fields 1 f | hpexpiretime h fields 1 f | hpersist h fields 1 f
hgetex h fields 1 f | hsetex h fields 1 q 1 | hgetdel h fields 1 q
lpush l 3 1 2 | rpush l 4 | lpushx l 9 | rpushx l 9 | lrange l 0 -1 | llen l | lindex l 0 | linsert l before 1 7 | lset l 0 8 | lrem l 1 9 | ltrim l 0 4 | lpop l
rpop l | lpos l 1 | lmove {q}a {q}b left right | rpoplpush {q}a {q}b | lmpop 1 l left | blpop l 0.01 | brpop none 0.01 | blmove {q}a {q}b left right 0.01
brpoplpush {q}a {q}b 0.01 | blmpop 0.01 1 none left
sadd t 1 2 3 | srem t 3 | smembers t | sismember t 1 | smismember t 1 9 | scard t | spop none | srandmember none | smove {t}a {t}b 1 | sinter {t}a {t}b
sinterstore {t}c {t}a {t}b | sintercard 2 {t}a {t}b | sunion {t}a {t}b | sunionstore {t}c {t}a | sdiff {t}a {t}b | sdiffstore {t}c {t}a | sscan t 0
zadd z 1 a 2 b 3 c | zscore z a | zmscore z a x | zrank z b | zrevrank z b | zcard z | zcount z 0 9 | zlexcount z - + | zincrby z 1 a | zrange z 0 -1 | zrevrange z 0 -1
zrangebyscore z 0 9 | zrevrangebyscore z 9 0 | zrangebylex z - + | zrevrangebylex z + - | zrangestore {z}a {z}b 0 1 | zrem z c | zremrangebyrank z 9 9
zremrangebyscore z 9 9 | zremrangebylex z (x (y | zpopmin z | zpopmax none | zmpop 1 none min | bzpopmin none 0.01 | bzpopmax none 0.01 | bzmpop 0.01 1 none min
zrandmember none | zscan z 0 | zunion 1 {z}a | zunionstore {z}c 1 {z}a | zinter 1 {z}a | zinterstore {z}c 1 {z}a | zintercard 1 {z}a | zdiff 1 {z}a | zdiffstore {z}c 1 {z}a
pfadd p 1 2 | pfcount p | pfmerge {p}a {p}b
geoadd g 13.36 38.11 P | geopos g P | geodist g P P | geohash g P | georadius g 13 38 100 km | georadius_ro g 13 38 100 km | georadiusbymember g P 1 km
georadiusbymember_ro g P 1 km | geosearch g frommember P byradius 1 km | geosearchstore {g}a {g}b frommember P byradius 1 km
xadd x 1-1 f v | xadd x 2-1 f v | xlen x | xrange x - + | xrevrange x + - | xread count 1 streams x 0 | xread block 5 streams x $ | xgroup create x gr 0 | xgroup createconsumer x gr c1
xreadgroup group gr c1 count 1 streams x > | xack x gr 1-1 | xpending x gr | xclaim x gr c1 0 9-9 | xautoclaim x gr c1 0 0 | xinfo stream none | xinfo groups none
xinfo consumers none gr | xinfo help | xgroup help | xgroup setid x gr 0 | xgroup delconsumer x gr c1 | xgroup destroy x gr | xdel x 1-1 | xtrim x maxlen 5 | xsetid x 9-9
eval return(1) 0 | eval_ro return(1) 0 | evalsha ffffffffffffffffffffffffffffffffffffffff 0 | evalsha_ro ffffffffffffffffffffffffffffffffffffffff 0
fcall none 0 | fcall_ro none 0 | script load return(2) | script exists 7f923f79fe76194c868d7e1d0820de36700eb649 | script show ffffffffffffffffffffffffffffffffffffffff
script flush | script kill | script help | function list | function dump | function restore x | function delete none | function flush | function kill | function stats
function help | function load x
multi | set {w}a 1 | exec | multi | discard | watch {w}a | unwatch | publish nobody x | spublish nobody x | pubsub channels | pubsub numsub a | pubsub numpat
pubsub shardchannels | pubsub shardnumsub a | pubsub help
ping | ping x | echo hi | select 0 | client getname | client setname me | client setinfo lib-name x | client no-touch on | client no-touch off | client getredir
client trackinginfo | client reply on | client unblock 999999 | client caching yes | client capa redirect | command count | command getkeys get a | command getkeysandflags get a
command info get | command docs get | command list filterby pattern getset | command help | acl whoami | acl cat string | acl help | readonly | readwrite | asking
cluster keyslot a | cluster info | dbsize | slowlog len | slowlog reset | slowlog help | slowlog get | commandlog len slow | commandlog reset slow | commandlog help | commandlog get 1 slow
latency help | latency reset | latency latest | latency history none | latency graph none | memory help | memory usage none | memory purge | module list | config help
module help | cluster nodes | cluster slots | cluster shards | cluster myid | cluster myshardid | cluster links
cluster countkeysinslot 1 | cluster getkeysinslot 1 1 | cluster slot-stats slotsrange 0 1 | cluster help
swapdb 0 0 | flushdb | flushall | reset
`
  .split(/[|\n]/)
  .map((line) => line.trim())
  .filter((line) => line !== '');

/** Commands whose answer differs from a bare engine's, or is different each time; with the reason. */
export const DIFFERENCES: Readonly<Record<string, string>> = {
  scan: 'the cursor names a slot; an empty page may come before the end',
  move: 'a clustered database has only database 0',
  randomkey: 'drawn by chance',
  'acl|cat': 'the order within a category is by chance',
  'client|unblock': "ids are the endpoint's",
  swapdb: 'a clustered database has only database 0',
  asking: 'accepted, without effect: no client sees a slot in flight',
  readonly: 'works, though one address looks like a server without cluster',
  readwrite: 'works, though one address looks like a server without cluster',
  'client|help': 'names what this endpoint offers',
  'client|tracking':
    'RESP3 only; REDIRECT, which is for RESP2, is not offered; ON while it is on says to forget everything',
  'cluster|info': 'one address looks like one server without cluster',
  'cluster|keyslot': 'works, though one address looks like a server without cluster',
  'config|help': 'names the subset that this endpoint offers',
  'slowlog|get': 'entries of all shards; whose command it was is not known, the address is `?:0`',
  'commandlog|get':
    'entries of all shards; whose command it was is not known, the address is `?:0`',
  'function|stats': 'of the first shard',
  'latency|latest': 'of the first shard',
  'latency|doctor': 'of the first shard',
  'memory|doctor': 'of the first shard',
  'memory|stats': 'of the first shard',
  'memory|malloc-stats': 'of the first shard',
  'latency|histogram': 'of all shards, added up',
  info: 'of all shards, added up',
  hello: "id is the endpoint's",
  time: 'the time',
  lolwut: 'a new picture each time',
  lastsave: "the time of the first shard's last save",
  role: 'a client sees one primary without replicas',
  'client|id': "ids are the endpoint's",
  'client|info': 'describes the connection to the endpoint',
  'client|list': 'the clients of the endpoint',
  'client|kill': 'the clients of the endpoint',
  'client|import-source': 'accepted, without effect',
  'acl|genpass': 'a new one each time',
  'acl|dryrun': 'needs rights that client users do not have',
  'config|get': "Azure's subset",
  'config|set': "Azure's subset",
  auth: "keys are the endpoint's",
  quit: 'ends the connection',
  monitor:
    'what clients of the endpoint send, not what their scripts call; of a MULTI as it is queued',
  subscribe: 'changes the mode of the connection; tested by itself',
  psubscribe: 'changes the mode of the connection; tested by itself',
  ssubscribe: 'changes the mode of the connection; tested by itself',
  unsubscribe: 'changes the mode of the connection; tested by itself',
  punsubscribe: 'changes the mode of the connection; tested by itself',
  sunsubscribe: 'changes the mode of the connection; tested by itself',
};

const OF_A_CLUSTER = 'BY and GET: a pattern needs the hash tag of the key';

/** What is different with some arguments only: the examples are the same. */
export const WITH_SOME_ARGUMENTS: Readonly<Record<string, string>> = {
  copy: 'with DB: a clustered database has only database 0',
  sort: OF_A_CLUSTER,
  sort_ro: OF_A_CLUSTER,
  dump: 'large values are not compressed',
  'command|info': 'without names: the order is by chance',
  'command|docs': 'without names: the order is by chance',
  'command|list': 'the order is by chance',
  'function|list': 'the order is by chance',
};

/** What is different in a MULTI only. */
export const IN_MULTI: Readonly<Record<string, string>> = {
  auth: 'in a MULTI: from the next command after EXEC on',
  hello: 'in a MULTI: with AUTH, from the next command after EXEC on',
  'client|tracking': 'in a MULTI: from the next command after EXEC on',
  select:
    'another database between WATCH and EXEC: EXEC answers null, as after a change of the key',
  'client|no-touch': 'in a MULTI: from the next command after EXEC on',
};
