/** Engines of this machine as the commands see them; finding and fetching is `engine/provision`. */
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { EngineError } from '../engine/errors.ts';
import { currentBundle } from '../engine/provision/bundle.ts';
import { type ProvisionedEngine, programOf, provisionEngine } from '../engine/provision/index.ts';
import { CliError } from './errors.ts';
import { folderBytes } from './output/disk.ts';

export interface FetchedEngine {
  readonly packages: string;
  readonly suite: string;
  readonly madeAt: string;
  readonly folder: string;
  readonly bytes: number;
}

/** What was fetched into the cache, whole or not at all. */
export async function fetchedEngines(cacheDir: string): Promise<FetchedEngine[]> {
  if (!existsSync(cacheDir)) return [];
  const found: FetchedEngine[] = [];
  for (const name of readdirSync(cacheDir)) {
    const bundle = await currentBundle(path.join(cacheDir, name), 'everything');
    if (bundle === null) continue;
    const { packages, suite, madeAt } = bundle.manifest;
    const main = packages.filter((p) => /-(server|tools)$/.test(p.name));
    found.push({
      packages: (main.length > 0 ? main : packages).map((p) => `${p.name} ${p.version}`).join(', '),
      suite,
      madeAt,
      folder: bundle.folder,
      bytes: folderBytes(bundle.folder),
    });
    // Proves that the manifest names programs, and not only files.
    if (programOf(bundle, 'valkey-server') === null && main.length === 0) found.pop();
  }
  return found;
}

/** The engine that the next start uses, if it can be told without the network. */
export async function engineAtHand(cacheDir: string): Promise<ProvisionedEngine | null> {
  const fetched = (await fetchedEngines(cacheDir)).some((e) =>
    e.packages.includes('valkey-server'),
  );
  if (!fetched && !onPath('valkey-server') && !onPath('redis-server')) return null;
  return provide({ cacheDir });
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

/** Finds or fetches; errors in the words of the command line. */
export async function provide(
  options: NonNullable<Parameters<typeof provisionEngine>[0]>,
): Promise<ProvisionedEngine> {
  try {
    return await provisionEngine(options);
  } catch (error) {
    if (error instanceof EngineError) {
      throw new CliError('failed', error.code, error.message, error.remedy);
    }
    throw error;
  }
}
