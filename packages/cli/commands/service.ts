/** `cinnabar service install`: a systemd unit of the user or of the machine. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import path from 'node:path';
import { Command } from 'commander';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { CliError, systemError } from '../errors.ts';
import { userId } from '../self.ts';
import { installedUnits, unitFile, unitText } from '../service/unit.ts';
import { whole } from '../up/options.ts';

interface InstallFlags {
  readonly system?: boolean;
  readonly account?: string;
  readonly print?: boolean;
  readonly force?: boolean;
  readonly listen?: readonly string[];
  readonly domain?: string;
  readonly apiPort?: string;
}

export function serviceCommand(): Command {
  const service = new Command('service').summary('run at boot, by systemd');
  service
    .command('install')
    .summary('write the systemd unit and say how to start it')
    .option('--system', 'for the machine, in /etc/systemd/system (needs root)')
    .option('--account <name>', 'with --system: the account it runs as')
    .option(
      '--listen <address>',
      'as for up (repeatable)',
      (v: string, all: readonly string[] = []) => [...all, v],
    )
    .option('--domain <name>', 'as for up')
    .option('--api-port <port>', 'as for up')
    .option('--print', 'only print the unit')
    .option('--force', 'replace a unit that differs')
    .addHelpText(
      'after',
      `
Examples:
  cinnabar service install --print
  cinnabar service install
  sudo cinnabar service install --system --account cinnabar --home /var/lib/cinnabar`,
    )
    .action(action(install));
  service
    .command('remove')
    .summary('remove the systemd unit')
    .action(
      action((context: Context) => {
        const files = installedUnits(context.env);
        for (const file of files) {
          try {
            rmSync(file);
          } catch (error) {
            throw systemError(error, 'remove', file);
          }
          context.output.note(`Removed ${file}. Now type: ${systemctl(file)} daemon-reload`);
        }
        if (files.length === 0) context.output.note('No unit is installed.');
        if (context.output.json) context.output.data({ removed: files });
      }),
    );
  return service;
}

function systemctl(file: string): string {
  return file.startsWith('/etc/') ? 'systemctl' : 'systemctl --user';
}

function install(context: Context, flags: InstallFlags): void {
  const kind = flags.system === true ? 'system' : 'user';
  const me = accountName();
  const args: string[] = [];
  for (const address of flags.listen ?? []) args.push('--listen', address);
  if (flags.domain !== undefined) args.push('--domain', flags.domain);
  if (flags.apiPort !== undefined) {
    args.push('--api-port', String(whole('--api-port', flags.apiPort, 1, 65535)));
  }
  const text = unitText({
    kind,
    account: flags.account ?? me,
    node: process.execPath,
    program: path.resolve(process.argv[1] ?? ''),
    home: context.folders.home,
    libraryPath: context.env['LD_LIBRARY_PATH'] ?? null,
    args,
  });
  const file = unitFile(kind, context.env);
  if (flags.print === true) {
    if (context.output.json) context.output.data({ file, text });
    else context.output.line(text.trimEnd());
    return;
  }
  write(file, text, flags.force === true);
  const ctl = systemctl(file);
  const next = [
    `${ctl} daemon-reload`,
    `${ctl} enable --now cinnabar`,
    ...(kind === 'user' ? [`loginctl enable-linger ${me}   # to run without being logged in`] : []),
  ];
  if (context.output.json) context.output.data({ file, next });
  else {
    context.output.note(`Wrote ${file}. Now type:`);
    for (const line of next) context.output.line(`  ${line}`);
  }
}

function write(file: string, text: string, force: boolean): void {
  try {
    if (existsSync(file) && !force && readFileSync(file, 'utf8') !== text) {
      throw new CliError(
        'conflict',
        'unit-exists',
        `${file} is there and differs; nothing was changed.`,
        'Compare: cinnabar service install --print. Replace it: add --force',
      );
    }
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
  } catch (error) {
    throw error instanceof CliError ? error : systemError(error, 'write', file);
  }
}

function accountName(): string {
  try {
    return userInfo().username;
  } catch {
    // No entry in /etc/passwd: systemd takes the number as well.
    return String(userId());
  }
}
