/**
 * systemd units. Three lines carry the design: `KillMode=process`, because engines and endpoint must
 * outlive the control process and are ended by it, in order; `RestartPreventExitStatus`, because an
 * error of configuration is not healed by trying again; no `PrivateTmp`, because sockets may be there.
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { EXIT } from '../exit-codes.ts';

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

export const UNIT_NAME = 'cinnabar.service';

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
    'Type=simple',
    ...(options.kind === 'system' ? [`User=${options.account}`] : []),
    `Environment=${quote(`CINNABAR_HOME=${options.home}`)}`,
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
    '# Saving large data sets takes its time.',
    'TimeoutStopSec=600',
    'LimitNOFILE=1048576',
    'NoNewPrivileges=yes',
    'UMask=0077',
    '',
    '[Install]',
    `WantedBy=${options.kind === 'system' ? 'multi-user.target' : 'default.target'}`,
  ];
  return `${lines.join('\n')}\n`;
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
