/** Options that several commands share. */
import type { Command } from 'commander';
import type { WaitOptions } from '../api/operations.ts';
import { CliError } from '../errors.ts';
import { OPERATION_TIMEOUT_S } from '../limits.ts';
import { whole } from '../up/options.ts';

/** By the engines' own ports, or by ports of the endpoint. */
export const SHARD_ACCESS = ['direct', 'relayed'] as const;
export const POLICIES = ['OSSCluster', 'EnterpriseCluster', 'NoCluster'] as const;
export const EVICTION = [
  'AllKeysLFU',
  'AllKeysLRU',
  'AllKeysRandom',
  'VolatileLRU',
  'VolatileLFU',
  'VolatileTTL',
  'VolatileRandom',
  'NoEviction',
] as const;

/** Takes `on` and `off` as well as Azure's words. */
export function state(option: string): (value: string) => 'Enabled' | 'Disabled' {
  return (value) => {
    const word = value.toLowerCase();
    if (word === 'on' || word === 'enabled') return 'Enabled';
    if (word === 'off' || word === 'disabled') return 'Disabled';
    throw new CliError(
      'usage',
      'bad-option',
      `${option}: '${value}' is neither on nor off.`,
      `For example: ${option} on`,
    );
  };
}

/** Since when the API knows keyspace notifications. */
export const NOTIFY_VERSION = '2026-02-01-preview';

/** Since when the API knows maintenance windows. */
export const WINDOWS_VERSION = '2025-08-01-preview';

export interface WaitFlags {
  readonly wait?: boolean;
  readonly timeout?: string;
}

const DAY_S = 86_400;

export function waitFlags(command: Command): Command {
  return command
    .option('--no-wait', 'print the operation and do not wait for it')
    .option('--timeout <seconds>', 'stop waiting after this long', String(OPERATION_TIMEOUT_S));
}

export function waitOptions(flags: WaitFlags): WaitOptions {
  const seconds = whole('--timeout', flags.timeout ?? String(OPERATION_TIMEOUT_S), 1, DAY_S);
  return { wait: flags.wait !== false, timeoutMs: seconds * 1000 };
}
