/** The options of `up`: read, checked, and turned into what control is told. */
import { accessSync, constants, statSync } from 'node:fs';
import { isIP } from 'node:net';
import path from 'node:path';
import type { MiniatureOption, StartOptions } from '../../control/boot-protocol.ts';
import { CliError } from '../errors.ts';
import type { Folders } from '../folders.ts';

export interface UpFlags {
  readonly detach?: boolean;
  readonly quickstart?: boolean;
  readonly listen?: readonly string[];
  readonly domain?: string;
  readonly engine?: string;
  readonly apiPort?: string;
  readonly httpsPort?: string;
  readonly workers?: string;
  readonly miniature?: string;
}

export function startOptions(flags: UpFlags, folders: Folders): StartOptions {
  for (const address of flags.listen ?? []) {
    if (isIP(address) === 0) {
      throw usage('--listen', address, 'is not an IP address', '--listen 0.0.0.0');
    }
  }
  const domain = flags.domain?.toLowerCase().replace(/\.$/, '') ?? null;
  if (domain !== null && !DOMAIN.test(domain)) {
    throw usage('--domain', domain, 'is not a domain name', '--domain caches.example.org');
  }
  return {
    home: folders.home,
    runDir: folders.runDir,
    engineCache: folders.engineCache,
    listen: [...new Set(flags.listen ?? [])],
    domain,
    ...(flags.engine === undefined ? {} : { engine: executable(flags.engine) }),
    ...(flags.apiPort === undefined
      ? {}
      : { apiPort: whole('--api-port', flags.apiPort, 0, 65535) }),
    ...(flags.httpsPort === undefined
      ? {}
      : { httpsPort: whole('--https-port', flags.httpsPort, 0, 65535) }),
    ...(flags.workers === undefined ? {} : { workers: whole('--workers', flags.workers, 1, 256) }),
    ...(flags.miniature === undefined ? {} : { miniature: miniature(flags.miniature) }),
  };
}

const DOMAIN =
  /^(?=.{1,200}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

function usage(option: string, value: string, problem: string, example: string): CliError {
  return new CliError(
    'usage',
    'bad-option',
    `${option}: '${value}' ${problem}.`,
    `For example: cinnabar up ${example}`,
  );
}

/** The caller's command adds where its help is. */
export function whole(option: string, value: string, least: number, most: number): number {
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < least || number > most) {
    throw new CliError(
      'usage',
      'bad-option',
      `${option}: '${value}' is not a whole number from ${least} to ${most}.`,
      '',
    );
  }
  return number;
}

/** '64' or '64/4': memory divided by 64, at most 4 shards. 'off': null. */
export function miniature(value: string): MiniatureOption | null {
  if (value === 'off') return null;
  const match = /^(\d+)(?:\/(\d+))?$/.exec(value);
  const memoryDivisor = Number(match?.[1] ?? 0);
  const maxShards = Number(match?.[2] ?? 4);
  if (memoryDivisor < 1 || maxShards < 1) {
    throw usage(
      '--miniature',
      value,
      'is not <divisor>, <divisor>/<most shards> or off',
      '--miniature 64/4',
    );
  }
  return { memoryDivisor, maxShards };
}

function executable(value: string): string {
  const file = path.resolve(value);
  try {
    accessSync(file, constants.X_OK);
    if (statSync(file).isFile()) return file;
  } catch {
    // The next line says it better.
  }
  throw usage('--engine', file, 'is not a file that can be run', '--engine /usr/bin/valkey-server');
}
