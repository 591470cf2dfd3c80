/**
 * Who may run what inside an engine: the second fence, and the only one where clients are direct.
 *
 * An engine's ACL cannot tell one parameter of CONFIG from another, so it cannot give clients
 * Azure's CONFIG subset without giving them `CONFIG GET primaryauth`, the replication password. So
 * clients get no CONFIG here; the endpoint answers the allowed parameters itself. The same holds for
 * CLIENT KILL (it closed the control connection), MONITOR (it shows other users' commands) and lists
 * of users (they show hashes).
 *
 * Rules are built from the running engine's own command names: one unknown name fails the whole
 * user. Commands that nobody here has heard of follow the engine's categories: what it calls admin
 * or dangerous is refused. In the containers where a new subcommand could do harm (ACL, CLIENT,
 * CLUSTER, CONFIG, MODULE) only the listed ones are allowed.
 */
import type { Policy } from '../../endpoint/control-protocol.ts';
import type { AclUser } from '../../engine/contract.ts';
import { AZURE_BLOCKED, AZURE_CLUSTER, AZURE_UNKNOWN } from './azure-blocked.ts';

/** Lower-case names of all commands of the running engine; subcommands as 'config|get'. */
export type CommandNames = ReadonlySet<string>;

/** Admin or dangerous by category, and still for clients. */
const ALLOWED = [
  'keys info sort sort_ro flushall flushdb restore role lastsave',
  'latency|doctor latency|graph latency|help latency|histogram latency|history latency|latest latency|reset',
  'slowlog|get slowlog|len slowlog|reset slowlog|help',
  'commandlog|get commandlog|len commandlog|reset commandlog|help',
]
  .join(' ')
  .split(' ');

/** Of these only what is listed: the rest changes users, connections, topology or the engine. */
const CONTAINERS: Readonly<Record<string, string>> = {
  acl: 'cat dryrun genpass help whoami',
  client:
    'caching capa getname getredir help id import-source info list no-touch reply setinfo setname ' +
    'tracking trackinginfo unblock',
  cluster:
    'count-failure-reports countkeysinslot getkeysinslot getslotmigrations help info keyslot links ' +
    'myid myshardid nodes replicas shards slaves slot-stats slots',
  config: 'help',
  module: 'help list',
};

/** Refused whatever category a future engine puts them in. */
const REFUSED = [
  'shutdown save bgsave bgrewriteaof replicaof slaveof failover psync sync replconf migrate debug',
  'monitor restore-asking pfdebug pfselftest',
  // A debugging session forks the engine; a shard has one child process at a time (engine rule 24).
  'script|debug',
]
  .join(' ')
  .split(' ');

/**
 * ACL tokens of a client user, in the order in which they must be applied.
 *
 * @param azureStrict refuse what Azure refuses, and what Azure's engine does not know
 * @param guarded commands that the database's own rules refuse always
 */
export function clientRules(
  policy: Policy,
  azureStrict: boolean,
  commands: CommandNames,
  guarded: readonly string[] = [],
): readonly string[] {
  const add = (names: readonly string[]) => known(names, commands).map((name) => `+${name}`);
  const drop = (names: readonly string[]) => known(names, commands).map((name) => `-${name}`);
  const containers = Object.entries(CONTAINERS).flatMap(([container, allowed]) => [
    ...drop([container]),
    ...add(allowed.split(' ').map((each) => `${container}|${each}`)),
  ]);
  const databases = ['select', 'swapdb'];
  return [
    '~*',
    '&*',
    '+@all',
    '-@admin',
    '-@dangerous',
    ...add(ALLOWED),
    ...containers,
    ...(policy === 'NoCluster' ? add(databases) : drop(databases)),
    ...drop(REFUSED),
    ...(azureStrict ? drop(azureRefusals(policy, commands)) : []),
    ...drop(guarded),
  ];
}

function azureRefusals(policy: Policy, commands: CommandNames): string[] {
  const cluster = policy === 'OSSCluster' ? AZURE_CLUSTER : [];
  const clusterRefused = [...commands].filter(
    (name) => name.startsWith('cluster|') && !cluster.includes(name),
  );
  return [...AZURE_BLOCKED, ...AZURE_UNKNOWN, ...clusterRefused.sort()];
}

function known(names: readonly string[], commands: CommandNames): string[] {
  return names.filter((name) => commands.has(name));
}

/**
 * The engine's client user: with both keys; or off (access keys disabled, or a policy whose clients
 * come through the proxy): nobody logs in as it, and a connection still open may do nothing.
 */
export function clientUser(
  name: string,
  accessKeys: 'Enabled' | 'Disabled',
  keyHashes: readonly string[],
  rules: readonly string[],
): AclUser {
  return accessKeys === 'Enabled'
    ? { name, enabled: true, passwordHashes: keyHashes, rules }
    : { name, enabled: false, passwordHashes: [], rules: ['-@all'] };
}
