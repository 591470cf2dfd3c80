/**
 * systemd units. Three lines carry the design: `KillMode=process`, because engines and endpoint must
 * outlive the control process and are ended by it, in order; `RestartPreventExitStatus`, because an
 * error of configuration is not healed by trying again; no `PrivateTmp`, because sockets may be there.
 */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { EXIT } from '../exit-codes.ts';
import { UNIT_STOP_MS } from '../limits.ts';

export interface UnitOptions {
  readonly kind: 'user' | 'system';
  /** System units: the account it runs as. */
  readonly account: string;
  readonly node: string;
  readonly program: string;
  readonly home: string;
  /** Where libatomic was fetched to, if it had to be (bin/cinnabar); the unit starts Node.js itself. */
  readonly libraryPath: string | null;
  /** Further options of `up`. */
  readonly args: readonly string[];
}

const UNIT_NAME = 'cinnabar.service';

/**
 * What the service has no use for. Where data, sockets and engines are is the user's choice, so all of
 * /home and /tmp stays writable; netlink is how the addresses of the machine are read. Not
 * `MemoryDenyWriteExecute`: Node compiles at run time.
 */
const HARDENING = [
  'NoNewPrivileges=yes',
  'LockPersonality=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'RestrictNamespaces=yes',
  'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
  'SystemCallArchitectures=native',
];

/** Of these the manager of a user has no right to make the mounts. */
const HARDENING_OF_THE_MACHINES = [
  'CapabilityBoundingSet=',
  'ProtectSystem=full',
  'PrivateDevices=yes',
  'ProtectKernelTunables=yes',
  'ProtectKernelModules=yes',
  'ProtectKernelLogs=yes',
  'ProtectControlGroups=yes',
  'ProtectClock=yes',
  'ProtectHostname=yes',
];

export function unitText(options: UnitOptions): string {
  const command = [
    options.node,
    '--disable-warning=ExperimentalWarning',
    options.program,
    'up',
    ...options.args,
  ];
  const lines = [
    '[Unit]',
    'Description=Cinnabar: managed caches on this machine',
    ...(options.kind === 'system'
      ? ['After=network-online.target', 'Wants=network-online.target']
      : []),
    '# Five failed starts within five minutes, and systemd leaves it to you: systemctl status cinnabar',
    'StartLimitIntervalSec=300',
    'StartLimitBurst=5',
    '',
    '[Service]',
    'Type=notify',
    'NotifyAccess=all',
    '# The first start may fetch the engine.',
    'TimeoutStartSec=300',
    ...(options.kind === 'system' ? [`User=${options.account}`] : []),
    environmentOf(options.home),
    ...(options.libraryPath === null
      ? []
      : [`Environment=${quote(`LD_LIBRARY_PATH=${options.libraryPath}`)}`]),
    `ExecStart=${command.map(quote).join(' ')}`,
    '# Engines and endpoint outlive a crash of the main process; it stops them in order itself.',
    'KillMode=process',
    'Restart=always',
    'RestartSec=1',
    `RestartPreventExitStatus=${EXIT.ok} ${EXIT.cannotStart} ${EXIT.usage}`,
    `SuccessExitStatus=${EXIT.ok}`,
    '# Saving takes its time; a stop that may take longer asks for more.',
    `TimeoutStopSec=${UNIT_STOP_MS / 1000}`,
    'LimitNOFILE=1048576',
    'UMask=0077',
    'SyslogIdentifier=cinnabar',
    ...HARDENING,
    ...(options.kind === 'system' ? HARDENING_OF_THE_MACHINES : []),
    '',
    '[Install]',
    `WantedBy=${options.kind === 'system' ? 'multi-user.target' : 'default.target'}`,
  ];
  return `${lines.join('\n')}\n`;
}

function environmentOf(home: string): string {
  return `Environment=${quote(`CINNABAR_HOME=${home}`)}`;
}

/** systemd's own quoting: `%` starts a specifier, `$` a variable. */
export function quote(word: string): string {
  const safe = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(safe)
    ? safe
    : `"${safe.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

export function unitFile(kind: 'user' | 'system', env: NodeJS.ProcessEnv): string {
  if (kind === 'system') return path.join('/etc/systemd/system', UNIT_NAME);
  const config = env['XDG_CONFIG_HOME'];
  const root =
    config !== undefined && path.isAbsolute(config)
      ? config
      : path.join(env['HOME'] ?? homedir(), '.config');
  return path.join(root, 'systemd/user', UNIT_NAME);
}

export function installedUnits(env: NodeJS.ProcessEnv): string[] {
  return (['user', 'system'] as const)
    .map((kind) => unitFile(kind, env))
    .filter((file) => existsSync(file));
}

/** Whether a unit that we wrote is for this data folder. */
export function startsOn(file: string, home: string): boolean {
  return readFileSync(file, 'utf8').split('\n').includes(environmentOf(home));
}
