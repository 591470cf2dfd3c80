/**
 * The rivals, fetched from Debian's suites as the engine is: no root, nothing installed.
 * A suite that no longer offers one is no reason to fail a whole run: `optional` answers null and
 * the caller says which was absent.
 */
import {
  type Program,
  type ProvisionedEngine,
  programOf,
  provisionEngine,
  provisionPackages,
} from '../../engine/index.ts';

export type { Program, ProvisionedEngine };

interface Source {
  readonly suite: string;
  readonly packages: readonly string[];
  readonly program: string;
}

/** Where each comes from, and why that suite. */
const SOURCES = {
  /** The stable suite's: what a user of Debian would install, with a long-term branch of HAProxy. */
  haproxy: { suite: 'trixie', packages: ['haproxy'], program: 'haproxy' },
  /** twemproxy's package is named after its program. */
  twemproxy: { suite: 'trixie', packages: ['nutcracker'], program: 'nutcracker' },
} as const satisfies Record<string, Source>;

/** Other engines, by what users call them. Sentinel is the same program in another mode. */
const ENGINES = {
  'valkey-9': { product: 'valkey', suite: 'unstable' },
  'valkey-8': { product: 'valkey', suite: 'trixie' },
  'redis-7': { product: 'redis', suite: 'bookworm' },
  'redis-8': { product: 'redis', suite: 'trixie' },
} as const;

export type RivalProgram = keyof typeof SOURCES;
export type RivalEngine = keyof typeof ENGINES;
export const RIVAL_ENGINES = Object.keys(ENGINES) as RivalEngine[];

export async function rivalProgram(name: RivalProgram): Promise<Program> {
  const source: Source = SOURCES[name];
  const bundle = await provisionPackages(source.suite, source.packages);
  const program = programOf(bundle, source.program);
  if (program === null) throw new Error(`the package of ${name} holds no ${source.program}`);
  return program;
}

export function rivalEngine(name: RivalEngine): Promise<ProvisionedEngine> {
  return provisionEngine(ENGINES[name]);
}

export async function optional<T>(
  what: string,
  fetch: () => Promise<T>,
  say: (line: string) => void,
): Promise<T | null> {
  try {
    return await fetch();
  } catch (error) {
    say(`${what} is absent: ${String(error)}`);
    return null;
  }
}

/** Arguments and file to start a program with. */
export function commandOf(program: Program, args: readonly string[]): [string, string[]] {
  return [program.file, [...program.argsBefore, ...args]];
}
