/**
 * What Azure refuses, for databases with `azureStrict`: teams that test here what must run there.
 * Sources: the list on the Managed Redis configuration page, and the compatibility tables of Redis
 * Software that it points to. Where the two disagree (CLIENT TRACKING: a later page says that it
 * works with RESP3) the later one counts.
 */

/** Refused for every policy; subcommands as 'client|pause'. CLUSTER is below. */
export const AZURE_BLOCKED: readonly string[] = [
  // The page's own list.
  'bgrewriteaof bgsave save shutdown select move psync sync replicaof replconf module|load',
  // Cluster and connection.
  'asking readonly readwrite reset',
  'client|caching client|getredir client|no-evict client|pause client|unpause client|reply client|trackinginfo',
  // Users and configuration.
  'acl|setuser acl|deluser acl|genpass acl|load acl|log acl|save config|resetstat',
  // Server.
  'debug swapdb failover role slaveof restore-asking migrate lastsave',
  // Diagnostics.
  'latency|doctor latency|graph latency|help latency|history latency|latest latency|reset',
  'memory|doctor memory|malloc-stats memory|purge memory|stats',
  'module|help module|loadex module|unload',
]
  .join(' ')
  .split(' ');

/** The only CLUSTER subcommands that Azure has, and those with `OSSCluster` only. */
export const AZURE_CLUSTER: readonly string[] = [
  'cluster|help',
  'cluster|info',
  'cluster|keyslot',
  'cluster|nodes',
  'cluster|slots',
];

/** Commands that came after Redis 7.4, the engine that Azure runs, or that only Valkey has. */
export const AZURE_UNKNOWN: readonly string[] = [
  'clusterscan delifeq hgetdel hgetex hsetex msetex script|show',
  'client|capa client|import-source',
  'commandlog|get commandlog|help commandlog|len commandlog|reset',
]
  .join(' ')
  .split(' ');
