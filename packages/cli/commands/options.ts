/** Options that several commands share. */
import type { Command } from 'commander';
import type { WaitOptions } from '../api/operations.ts';
import { OPERATION_TIMEOUT_S } from '../limits.ts';
import { whole } from '../up/options.ts';

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
