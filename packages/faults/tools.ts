/**
 * The tools that some faults need: from the path, or fetched from Debian as the engine is, without
 * root and without installing anything.
 */
import { accessSync, constants, globSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { type Bundle, type Program, programOf, provisionPackages } from '../engine/index.ts';
import { FaultError } from './errors.ts';

/** The stable suite's: any version does. */
const SUITE = 'trixie';
const PACKAGES = { strace: 'strace', nft: 'nftables' } as const;

export async function faultTool(name: keyof typeof PACKAGES): Promise<Program> {
  if (onPath(name)) return { file: name, argsBefore: [] };
  const bundle = await fetched(name, SUITE, [PACKAGES[name]]);
  const program = programOf(bundle, name);
  if (program !== null) return program;
  throw new FaultError(`needs-${name}`, `there is no ${name}: install ${PACKAGES[name]}`);
}

/** The library that makes clocks jump. */
export async function fakeTimeLibrary(): Promise<string> {
  const [installed] = globSync('/usr/lib/*/faketime/libfaketime.so.1');
  if (installed !== undefined) return installed;
  // Of an old suite: it must load into whatever C library its process brings.
  const bundle = await fetched('libfaketime', 'bookworm', ['libfaketime', 'faketime']);
  const files = await readdir(bundle.folder, { recursive: true });
  const found = files.find((file) => file.endsWith('/libfaketime.so.1'));
  if (found !== undefined) return path.join(bundle.folder, found);
  throw new FaultError('needs-libfaketime', 'there is no libfaketime.so.1: install libfaketime');
}

async function fetched(name: string, suite: string, packages: readonly string[]): Promise<Bundle> {
  try {
    return await provisionPackages(suite, packages);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new FaultError(
      `needs-${name}`,
      `${name} is not installed and could not be fetched (${why}): install ${packages[0]}`,
    );
  }
}

function onPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(path.delimiter).some((folder) => {
    try {
      accessSync(path.join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
