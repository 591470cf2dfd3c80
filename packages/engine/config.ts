/**
 * What an engine is told at its start: the text of valkey.conf, users.acl and nodes.conf. Pure.
 *
 * Three layers. *Defaults* are ours and may be overridden by the launch's settings. *Settings* come
 * from the database. *Binding* ones are what the rest of the system relies on (role, sockets, TLS
 * on the bus, users): naming one of them in the settings is a mistake and refused.
 *
 * Names are Valkey's. What the engine at hand calls otherwise is translated; what it does not know
 * is left out and reported, so that an older engine starts with fewer features instead of not at all.
 */
import { join } from 'node:path';
import { aclFile } from './acl.ts';
import type { EngineCapabilities } from './capabilities.ts';
import type { EngineLaunch } from './contract.ts';
import { EngineError } from './errors.ts';
import { HUGE_PAGES } from './huge-pages.ts';
import { nodesConf } from './nodes-conf.ts';
import { quote } from './quote.ts';

export const FILES = {
  config: 'valkey.conf',
  users: 'users.acl',
  nodes: 'nodes.conf',
  log: 'engine.log',
  data: 'dump.rdb',
  appendDir: 'appendonlydir',
  claim: 'instance.json',
} as const;

export interface LaunchFiles {
  readonly config: string;
  readonly users: string;
  /** Null: not a cluster node. */
  readonly nodes: { readonly path: string; readonly text: string } | null;
  /** Settings that this engine does not know, by their Valkey names. */
  readonly leftOut: readonly string[];
}

/** Newer name -> older name of the same setting. */
const OLDER_NAMES: Readonly<Record<string, string>> = {
  primaryuser: 'masteruser',
  primaryauth: 'masterauth',
  'commandlog-execution-slower-than': 'slowlog-log-slower-than',
  'commandlog-slow-execution-max-len': 'slowlog-max-len',
};

const DEFAULTS: Readonly<Record<string, string>> = {
  // Idle clients are the endpoint's business; the control link is idle by nature (rule 2).
  timeout: '0',
  'tcp-keepalive': '60',
  // A script is told from a hang by -BUSY, so it must come soon (rule 7).
  'busy-reply-threshold': '200',
  'repl-diskless-sync-delay': '0',
  // A copy that is built is empty: it needs no file, and the end of one is only looked for once a second.
  'repl-diskless-load': 'on-empty-db',
  'dual-channel-replication-enabled': 'yes',
  'repl-backlog-size': '16mb',
  // Half of what a copy costs its child, on the cores that serve meanwhile; files are as large as the data.
  rdbcompression: 'no',
  // A file left from a sync must never look like data to load (rule 11).
  'rdb-del-sync-files': 'yes',
  save: '',
  appendonly: 'no',
  'aof-timestamp-enabled': 'yes',
  'crash-log-enabled': 'yes',
  // The memory test after a crash delays the death, and with it the failover, by seconds.
  'crash-memcheck-enabled': 'no',
  // It would forbid this process huge pages.
  'disable-thp': HUGE_PAGES ? 'no' : 'yes',
  'always-show-logo': 'no',
  'proc-title-template': '{title} {config-file}',
  'latency-monitor-threshold': '100',
  // From the size on at which the endpoint speaks of large ones.
  'commandlog-request-larger-than': '65536',
  'commandlog-reply-larger-than': '65536',
};

const CLUSTER_DEFAULTS: Readonly<Record<string, string>> = {
  // The control process alone promotes while it lives (rule 28).
  'cluster-replica-no-failover': 'yes',
  // One dead shard must not stop the others (rule 9).
  'cluster-require-full-coverage': 'no',
  'cluster-allow-pubsubshard-when-down': 'yes',
  'cluster-node-timeout': '15000',
  'cluster-preferred-endpoint-type': 'hostname',
  // Every engine goes through all of these for each command and each key that it deletes.
  'cluster-slot-migration-log-max-len': '8',
  // Otherwise an engine whose disk is full ends itself at the next change of the cluster, with all its
  // data. The file is written anew at each start (rule 1), so nobody needs the last version of it.
  'cluster-config-save-behavior': 'best-effort',
};

export function launchFiles(launch: EngineLaunch, capabilities: EngineCapabilities): LaunchFiles {
  const nodes = nodesFile(launch, capabilities);
  const binding = bindingSettings(launch, nodes?.path ?? '');
  const clash = Object.keys(launch.settings).filter((name) => name in binding);
  if (clash.length > 0) {
    throw new EngineError(
      'setting-reserved',
      `settings of an engine that are not the database's to choose: ${clash.join(', ')}`,
    );
  }
  const wanted = {
    ...DEFAULTS,
    ...(launch.role.kind === 'cluster' ? CLUSTER_DEFAULTS : {}),
    ...launch.settings,
    ...binding,
  };

  const lines: string[] = [];
  const leftOut: string[] = [];
  for (const [name, value] of Object.entries(wanted)) {
    const known = settingName(name, capabilities);
    if (known === null) leftOut.push(name);
    else lines.push(`${known} ${quote(value)}`);
  }
  const missing = NEEDED.filter((name) => leftOut.includes(name));
  if (missing.length > 0) {
    throw new EngineError(
      'engine-unfit',
      `${capabilities.name} ${capabilities.version} lacks ${missing.join(', ')}`,
      'Use a build with TLS and ACL: Valkey 7.2 or newer, Redis 7.0 or newer.',
    );
  }
  return {
    config: `${lines.join('\n')}\n`,
    users: aclFile(launch.users, capabilities),
    nodes,
    leftOut,
  };
}

/**
 * An engine writes this file and waits for the disk, twice in a takeover, before it answers; clients wait
 * with it. As it is written anew before each start, nobody needs what a power cut would leave of it: so it
 * lies beside the socket, in a folder that is in memory on most systems. Where an engine would end itself
 * because it cannot write it (that folder may go when a user logs out), it stays with the data.
 */
function nodesPath(
  launch: Pick<EngineLaunch, 'dataDir' | 'socket'>,
  capabilities: Pick<EngineCapabilities, 'settings'>,
): string {
  return capabilities.settings.has('cluster-config-save-behavior')
    ? rolePath(launch.socket)
    : join(launch.dataDir, FILES.nodes);
}

/** Of the engine that has this socket. */
export function rolePath(socket: string): string {
  return `${socket}.nodes`;
}

function nodesFile(launch: EngineLaunch, capabilities: EngineCapabilities): LaunchFiles['nodes'] {
  if (launch.role.kind !== 'cluster') return null;
  const { members, myself } = launch.role;
  const withShardIds = capabilities.commands.has('cluster|myshardid');
  const text = nodesConf(members, myself, withShardIds, launch.announceHost);
  return { path: nodesPath(launch, capabilities), text };
}

/** What this engine calls a setting; null when it has no such thing. */
export function settingName(
  name: string,
  capabilities: Pick<EngineCapabilities, 'settings'>,
): string | null {
  if (!/^[a-z][a-z0-9-]*$/.test(name)) {
    throw new EngineError('bad-setting', `${JSON.stringify(name)} cannot name a setting`);
  }
  if (capabilities.settings.has(name)) return name;
  const older = OLDER_NAMES[name];
  return older !== undefined && capabilities.settings.has(older) ? older : null;
}

/** Without one of these the engine would be unsafe, not just poorer. */
const NEEDED: readonly string[] = [
  'aclfile',
  'unixsocket',
  'tls-port',
  'tls-cluster',
  'tls-replication',
  'primaryauth',
];

function bindingSettings(launch: EngineLaunch, nodesPath: string): Record<string, string> {
  return {
    dir: launch.dataDir,
    dbfilename: FILES.data,
    appenddirname: FILES.appendDir,
    daemonize: 'no',
    supervised: 'no',
    // Empty: standard output, which is the log file in the data folder.
    logfile: '',
    unixsocket: launch.socket,
    unixsocketperm: '600',
    bind: bindTo([launch.host, ...(launch.listen ?? [])]),
    // Every user has a password, or is off: the ACL decides, not where a client comes from.
    'protected-mode': 'no',
    port: String(launch.plainPort ?? 0),
    ...tlsSettings(launch),
    'enable-debug-command': 'no',
    'enable-module-command': 'no',
    'enable-protected-configs': 'no',
    aclfile: join(launch.dataDir, FILES.users),
    primaryuser: 'replication',
    primaryauth: launch.replicationPassword,
    ...roleSettings(launch, nodesPath),
  };
}

function tlsSettings(launch: EngineLaunch): Record<string, string> {
  return {
    'tls-port': String(launch.port),
    'tls-cert-file': launch.tls.certFile,
    'tls-key-file': launch.tls.keyFile,
    'tls-ca-cert-file': launch.tls.caFile,
    // Clients have no certificate; the bus and replication demand one in any case (rule 5).
    'tls-auth-clients': 'no',
    'tls-replication': 'yes',
    'tls-cluster': 'yes',
    'tls-protocols': 'TLSv1.2 TLSv1.3',
  };
}

function roleSettings(launch: EngineLaunch, nodesPath: string): Record<string, string> {
  switch (launch.role.kind) {
    case 'cluster':
      return {
        'cluster-enabled': 'yes',
        'cluster-config-file': nodesPath,
        'cluster-port': String(launch.busPort),
        'cluster-announce-hostname': launch.announceHost,
        // Whoever asks over the unix socket is told plain ports; if there are none, the TLS one.
        'cluster-announce-port': String(launch.plainPort ?? launch.port),
      };
    case 'fenced':
      // Nobody listens there: the engine waits for its real primary, and refuses all until then.
      return {
        'cluster-enabled': 'no',
        replicaof: '127.0.0.1 1',
        'replica-serve-stale-data': 'no',
      };
    case 'alone':
      return { 'cluster-enabled': 'no' };
  }
}

/**
 * What to bind: the hosts that were asked for, and loopback of both families ('-': only where it
 * exists). A wildcard stands for all addresses of its family, which cannot be bound beside it.
 */
export function bindTo(hosts: readonly string[]): string {
  const v4 = hosts.some((host) => host === '0.0.0.0' || host === '*')
    ? ['*']
    : [...hosts.filter((host) => !host.includes(':')), '127.0.0.1'];
  const six = hosts.filter((host) => host.includes(':'));
  const v6 = hosts.includes('::')
    ? ['::*']
    : hosts.includes('*')
      ? ['-::*']
      : [...six, ...(six.includes('::1') ? [] : ['-::1'])];
  return [...new Set([...v4, ...v6])].join(' ');
}
