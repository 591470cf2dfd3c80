/**
 * Where the engine's command table says too little for a router. Key specs are good; policies are
 * not: most keyless commands have none, and some mislead (engine rule 22). Each line has its reason;
 * `docs/commands.md` prints it. A group of commands that share fate and reason stands in one line.
 */
import type { Fate, Override } from './fate.ts';

const local = (handler: string): Fate => ({ kind: 'local', handler });
const refused = (text = ''): Fate => ({ kind: 'refused', text });
const ONE: Fate = { kind: 'one' };
const SUM: Fate = { kind: 'all', merge: 'sum' };
const SAME: Fate = { kind: 'all', merge: 'same' };

type Line = readonly [names: string, fate: Fate, why: string];

const LINES: readonly Line[] = [
  // Several keys in one command, which the engine allows within one slot only.
  [
    'mget',
    { kind: 'split', join: 'array', step: 1 },
    'keys of any slot; each slot is read at once',
  ],
  ['mset', { kind: 'split', join: 'ok', step: 2 }, 'keys of any slot; atomic within a slot only'],
  [
    'del unlink exists touch',
    { kind: 'split', join: 'sum', step: 1 },
    'keys of any slot; atomic within a slot only',
  ],
  ['msetnx', { kind: 'keyed' }, 'all or nothing, so it is never divided: one slot, or CROSSSLOT'],
  ['msetex', { kind: 'keyed' }, 'NX and XX need all keys at once, so it is never divided'],

  // The whole database.
  ['dbsize', SUM, 'keys of all shards'],
  ['flushall flushdb', SAME, 'every shard; shards that failed are named'],
  ['keys', { kind: 'all', merge: 'concat' }, 'no response policy in the table: lists are appended'],
  ['scan', local('scan'), 'walks slots, not shards, so that a moving slot is never missed'],
  ['clusterscan', refused(), 'its cursor is no number; SCAN here gives its guarantee'],
  ['randomkey', { kind: 'all', merge: 'random' }, 'weighted by the keys of each shard'],
  [
    'swapdb',
    ONE,
    'only a database without cluster has more than one; the engine says so elsewhere',
  ],
  ['move', { kind: 'keyed' }, 'the engine refuses it where there is only database 0'],
  ['info', { kind: 'all', merge: 'info' }, 'counters of all shards added up'],
  ['time', ONE, 'one machine, one clock'],
  ['lolwut', ONE, 'any engine can draw'],
  ['echo', local('echo'), 'needs no engine'],
  ['role', local('role'), 'a client sees one primary, whichever shard it asks'],
  ['lastsave', { kind: 'all', merge: 'same' }, 'the answer of the first shard'],
  ['select', local('select'), 'a database number is part of the lane, it never reaches one'],

  // Scripts and functions live in every shard.
  ['eval evalsha eval_ro evalsha_ro', { kind: 'script' }, 'without keys: the first shard'],
  ['fcall fcall_ro', { kind: 'script' }, 'without keys: the first shard'],
  ['script|load', SAME, 'every primary; bodies are kept to load them again where they are missing'],
  ['script|exists', { kind: 'all', merge: 'and' }, 'there only if it is everywhere'],
  ['script|flush', SAME, 'every primary'],
  ['script|kill function|kill', { kind: 'all', merge: 'any-success' }, 'one shard runs it'],
  ['script|show', ONE, 'the same in every shard'],
  ['script|debug', refused(), 'blocks the engine for everybody'],
  ['script|help function|help', ONE, 'static text'],
  ['function|load function|delete function|flush function|restore', SAME, 'every primary'],
  ['function|dump function|list', ONE, 'the same in every shard'],
  ['function|stats', ONE, 'what runs on the first shard; no merge keeps its meaning'],

  // May wait.
  [
    'blpop brpop blmove brpoplpush blmpop bzpopmin bzpopmax bzmpop',
    { kind: 'block', when: 'always' },
    'a waiting command must not hold up a shared lane',
  ],
  ['xread xreadgroup', { kind: 'block', when: 'block-option' }, 'waits only with BLOCK'],
  [
    'wait waitaof',
    local('wait'),
    "asks about this client's own writes, on the lanes that carried them",
  ],

  // Transactions.
  ['multi', local('multi'), 'queued here and sent in one piece'],
  ['exec', local('exec'), 'sends what was queued'],
  ['discard', local('discard'), 'the queue is here'],
  ['watch', local('watch'), 'pins a connection'],
  ['unwatch', local('unwatch'), 'belongs to the pinned connection'],

  // Messages.
  ['subscribe psubscribe ssubscribe', local('subscribe'), 'one upstream subscription a channel'],
  ['unsubscribe punsubscribe sunsubscribe', local('unsubscribe'), 'the list is here'],
  ['publish', local('publish'), 'one shard; the cluster bus carries it to the others'],
  [
    'spublish',
    local('publish'),
    'to the owner of the slot of its channel; receivers are counted here',
  ],
  [
    'pubsub|channels pubsub|shardchannels',
    local('pubsub'),
    'what clients of this endpoint listen to',
  ],
  ['pubsub|numsub pubsub|shardnumsub', local('pubsub'), 'what clients of this endpoint listen to'],
  ['pubsub|numpat', local('pubsub'), 'what clients of this endpoint listen to'],
  ['pubsub|help', ONE, 'static text'],

  // The connection is the endpoint's.
  ['auth', local('auth'), "keys are checked here; lanes log in as the user's twin"],
  ['hello', local('hello'), "protocol and login are the session's"],
  ['ping', local('ping'), 'needs no engine'],
  ['quit', local('quit'), 'the session ends after its earlier replies'],
  ['reset', local('reset'), 'the state of a session is here'],
  [
    'readonly readwrite',
    local('readonly'),
    "a connection's reads may go to replicas, or no longer; its own writes are always seen",
  ],
  ['asking', local('ok'), 'no client sees a slot in flight'],
  [
    'client|id client|getname client|setname client|setinfo client|info client|list client|kill client|reply client|no-touch client|unblock client|getredir client|trackinginfo client|caching client|tracking client|capa client|import-source client|help',
    local('client'),
    'connections of clients end here; the engine sees only lanes',
  ],
  [
    'client|pause client|unpause client|no-evict',
    refused(),
    'would concern every client of the engine',
  ],
  [
    'command command|count command|docs command|getkeys command|getkeysandflags command|help command|info command|list',
    ONE,
    'the same in every shard',
  ],
  ['monitor', local('monitor'), "the engine would show lanes, and other users' commands"],

  // Introspection.
  ['slowlog|get', { kind: 'all', merge: 'slowlog' }, 'no response policy: merged by time'],
  ['slowlog|len', SUM, 'all shards'],
  ['slowlog|reset', SAME, 'all shards'],
  ['slowlog|help', ONE, 'static text'],
  ['commandlog|get', { kind: 'all', merge: 'slowlog' }, 'no response policy: merged by time'],
  ['commandlog|len', SUM, 'all shards'],
  ['commandlog|reset', SAME, 'all shards'],
  ['commandlog|help', ONE, 'static text'],
  ['latency|histogram', { kind: 'all', merge: 'histogram' }, 'special in the table: added up'],
  ['latency|help memory|help xinfo|help xgroup|help object|help', ONE, 'static text'],
  [
    'latency|doctor latency|graph latency|history latency|latest',
    ONE,
    'no merge keeps its meaning',
  ],
  ['latency|reset', SUM, 'all shards'],
  ['memory|doctor memory|malloc-stats memory|stats', ONE, 'no merge keeps its meaning'],
  ['memory|purge', SAME, 'all shards'],
  ['acl|whoami', local('whoami'), 'the lane is logged in as the twin'],
  ['acl|cat acl|genpass acl|help', ONE, 'the same in every shard'],
  ['acl|dryrun', local('dryrun'), 'a client may only ask about itself; its twin answers'],
  [
    'config|get config|set config|help',
    local('config'),
    "Azure's subset only, on an internal connection",
  ],
  ['cluster|keyslot', ONE, 'arithmetic'],
  [
    'cluster|slots cluster|shards cluster|nodes cluster|info cluster|myid cluster|myshardid cluster|links cluster|countkeysinslot cluster|getkeysinslot cluster|slot-stats cluster|help',
    local('cluster'),
    'one address looks like one server; the seed of OSSCluster answers from the snapshot',
  ],

  // What administers the engine.
  [
    'cluster|replicas cluster|slaves cluster|count-failure-reports cluster|getslotmigrations cluster|addslots cluster|addslotsrange cluster|bumpepoch cluster|cancelslotmigrations cluster|delslots cluster|delslotsrange cluster|failover cluster|flushslot cluster|flushslots cluster|forget cluster|meet cluster|migrateslots cluster|replicate cluster|reset cluster|saveconfig cluster|set-config-epoch cluster|setslot cluster|syncslots',
    refused(),
    'needs rights over the cluster, which belongs to the control plane',
  ],
  [
    'acl|deluser acl|getuser acl|list acl|load acl|log acl|save acl|setuser acl|users',
    refused(),
    'users belong to the control plane; they are changed by its API',
  ],
  [
    'shutdown save bgsave bgrewriteaof replicaof slaveof failover psync sync replconf debug pfdebug pfselftest module|load module|loadex module|unload config|rewrite config|resetstat',
    refused(),
    'administers the engine',
  ],
  ['migrate', refused(), 'would let a client connect the engine to any address'],
  ['restore-asking', refused(), "part of the engines' own slot moves"],
  ['module|list module|help', ONE, 'the same in every shard'],
];

export const OVERRIDES: ReadonlyMap<string, Override> = new Map(
  LINES.flatMap(([names, fate, why]) =>
    names.split(' ').map((name): [string, Override] => [name, { fate, why }]),
  ),
);

/** What Azure Managed Redis blocks beyond what this endpoint refuses anyway: `azureStrict`. */
export const AZURE_BLOCKED: ReadonlySet<string> = new Set(
  (
    'asking readonly readwrite select move swapdb role reset lastsave monitor client|caching client|getredir client|no-evict ' +
    'client|reply client|tracking client|trackinginfo config|resetstat latency|doctor latency|graph latency|history ' +
    'latency|latest latency|reset latency|histogram memory|doctor memory|stats memory|purge memory|malloc-stats ' +
    'cluster|countkeysinslot cluster|getkeysinslot cluster|links cluster|myid cluster|myshardid cluster|replicas ' +
    'cluster|shards cluster|slaves cluster|count-failure-reports commandlog|get commandlog|len commandlog|reset'
  ).split(' '),
);
