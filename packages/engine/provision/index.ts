/**
 * Where the engine comes from (design, decision 2), in this order: an explicit path; one already
 * provisioned; `valkey-server` 9 or newer on PATH; Debian's build of Valkey, fetched without root;
 * an older Valkey or Redis on PATH; else an error that says what to type.
 *
 * With an engine at hand nothing here touches the network, and the whole costs milliseconds.
 */
import { accessSync, constants } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { versionAtLeast } from '../capabilities.ts';
import type { EngineBuild } from '../contract.ts';
import { EngineError, reasonOf } from '../errors.ts';
import type { Program } from '../process.ts';
import { PrivateApt } from './apt.ts';
import {
  type Bundle,
  bundlesIn,
  currentBundle,
  makeBundle,
  programOf,
  sha256Of,
  sha256OfProgram,
} from './bundle.ts';
import { debianKeyring, distribution, installCommand, isWsl } from './host.ts';
import { withLock } from './lock.ts';
import { type Probed, probe, productOf } from './probe.ts';
import { megabytes } from './so-far.ts';

export interface ProvisionedEngine extends Probed {
  readonly build: EngineBuild;
  readonly server: Program;
  /** Null: this build came without it. */
  readonly tools: {
    readonly cli: Program | null;
    readonly benchmark: Program | null;
    readonly checkAof: Program | null;
    readonly checkRdb: Program | null;
  };
}

/** `further`: the same as before, and how far it is now; about twice a second. */
export type Progress = (event: {
  readonly step: string;
  readonly detail: string;
  readonly further?: true;
}) => void;

export interface ProvisionOptions {
  /** Default: `engineCacheDir()`. */
  readonly cacheDir?: string;
  /** A server program that the user named; nothing else is tried. */
  readonly explicit?: string;
  readonly product?: 'valkey' | 'redis';
  /** Debian suite to fetch from; default 'unstable'. Given: PATH is not looked at. */
  readonly suite?: string;
  /** Fetch even if one is provisioned; the old one stays in use when that fails. */
  readonly refresh?: boolean;
  readonly onProgress?: Progress;
}

const PREFERRED_MAJOR = 9;
const DEFAULT_SUITE = 'unstable';

export function engineCacheDir(env: NodeJS.ProcessEnv = process.env): string {
  const base = env['XDG_CACHE_HOME'];
  return join(
    base !== undefined && base !== '' ? base : join(homedir(), '.cache'),
    'cinnabar',
    'engines',
  );
}

export async function provisionEngine(options: ProvisionOptions = {}): Promise<ProvisionedEngine> {
  const cacheDir = options.cacheDir ?? engineCacheDir();
  const product = options.product ?? 'valkey';
  const suite = options.suite ?? DEFAULT_SUITE;
  const progress = options.onProgress ?? (() => undefined);
  await makeFolder(cacheDir);
  if (options.explicit !== undefined) return fromFile(options.explicit, 'explicit', cacheDir);

  const packages = [`${product}-server`, `${product}-tools`];
  const home = bundleHome(cacheDir, suite, packages);
  const present = await currentBundle(home, `${product}-server`);
  if (present !== null && options.refresh !== true) return fromBundle(present, product, cacheDir);

  const onPath = options.suite === undefined ? await enginesOnPath(cacheDir, product) : [];
  const good = onPath.find((each) => versionAtLeast(each.build.version, PREFERRED_MAJOR));
  if (product === 'valkey' && good !== undefined && options.refresh !== true) return good;

  try {
    const bundle = await provisionPackages(suite, packages, {
      cacheDir,
      onProgress: progress,
      ...(options.refresh === undefined ? {} : { refresh: options.refresh }),
    });
    return await fromBundle(bundle, product, cacheDir);
  } catch (error) {
    const fallback = present !== null ? await fromBundle(present, product, cacheDir) : onPath[0];
    if (fallback === undefined) throw noEngine(error);
    progress({ step: 'fallback', detail: `${reasonOf(error)}; using ${fallback.server.file}` });
    return fallback;
  }
}

/**
 * Any packages of a suite with the libraries they link to, as a bundle whose programs can be
 * started (`programOf`). Used for the engine and, by the bench, for its rivals. One process fetches;
 * others that want the same wait for it and use what it fetched.
 */
export async function provisionPackages(
  suite: string,
  packages: readonly string[],
  options: {
    readonly cacheDir?: string;
    readonly refresh?: boolean;
    readonly onProgress?: Progress;
  } = {},
): Promise<Bundle> {
  const cacheDir = options.cacheDir ?? engineCacheDir();
  const progress = options.onProgress ?? (() => undefined);
  const home = bundleHome(cacheDir, suite, packages);
  const seen = await currentBundle(home, 'everything');
  if (seen !== null && options.refresh !== true) return seen;
  await makeFolder(cacheDir);
  const keyring = debianKeyring();
  if (keyring === null) {
    throw new EngineError('no-debian-keyring', "this machine has no keyring of Debian's archive");
  }
  const waiting = (): void =>
    progress({ step: 'wait', detail: 'another process is fetching already' });
  return withLock(cacheDir, waiting, async () => {
    // Somebody else may have fetched it while we waited.
    const made = await currentBundle(home, 'everything');
    const another = made !== null && made.folder !== seen?.folder;
    if (made !== null && (options.refresh !== true || another)) return made;
    const apt = new PrivateApt(join(cacheDir, 'apt', suite), suite, keyring);
    const detail = (text: string, further?: true): void =>
      progress({ step: 'fetch', detail: text, ...(further === undefined ? {} : { further }) });
    const update = async (force: boolean): Promise<void> => {
      const what = `reading the package lists of Debian ${suite}`;
      detail(what);
      await apt.update(force, (bytes) => detail(`${what}: ${megabytes(bytes)}`, true));
    };
    try {
      await makeFolder(join(cacheDir, 'apt', suite));
      await update(options.refresh === true);
      return await makeBundle(home, suite, packages, apt, detail).catch(async () => {
        // The suite moved on since its lists were read: a package is gone from the mirror.
        await update(true);
        return makeBundle(home, suite, packages, apt, detail);
      });
    } finally {
      await apt.dropCaches();
    }
  });
}

/** An engine that was fetched once and is still in the cache folder, by its label ('valkey 8.1.1'). */
export async function bundledEngine(
  label: string,
  cacheDir = engineCacheDir(),
): Promise<ProvisionedEngine | null> {
  const [product, version] = label.split(' ');
  if ((product !== 'valkey' && product !== 'redis') || version === undefined) return null;
  for (const home of await readdir(cacheDir).catch(() => [])) {
    if (!home.startsWith(`${product}-server+`)) continue;
    for (const bundle of await bundlesIn(join(cacheDir, home))) {
      const packed = bundle.manifest.packages.find(({ name }) => name === `${product}-server`);
      // '5:8.0.2-3+deb13u3': an epoch before it, the revision behind it.
      const upstream = /^(?:\d+:)?([\d.]+)/.exec(packed?.version ?? '')?.[1];
      if (upstream === version) return fromBundle(bundle, product, cacheDir);
    }
  }
  return null;
}

function bundleHome(cacheDir: string, suite: string, packages: readonly string[]): string {
  return join(cacheDir, `${packages.join('+')}@${suite}`.replace(/[^A-Za-z0-9.+@~-]/g, '_'));
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new EngineError(
      'cache-unwritable',
      `cannot make the folder for engines ${folder}: ${reasonOf(error)}`,
      'Set XDG_CACHE_HOME to a folder that you may write.',
      { cause: error },
    );
  }
}

async function fromBundle(
  bundle: Bundle,
  product: 'valkey' | 'redis',
  cacheDir: string,
): Promise<ProvisionedEngine> {
  const name = `${product}-server`;
  const server = programOf(bundle, name);
  if (server === null) {
    throw new EngineError('package-absent', `the packages fetched for ${product} hold no ${name}`);
  }
  const sha256 = sha256OfProgram(bundle, name);
  const { capabilities, documents } = await probe(server, sha256, cacheDir);
  return {
    build: {
      name: capabilities.name,
      version: capabilities.version,
      origin: `debian-${bundle.manifest.suite}`,
      sha256,
    },
    capabilities,
    documents,
    server,
    tools: {
      cli: programOf(bundle, `${product}-cli`),
      benchmark: programOf(bundle, `${product}-benchmark`),
      checkAof: programOf(bundle, `${product}-check-aof`),
      checkRdb: programOf(bundle, `${product}-check-rdb`),
    },
  };
}

async function fromFile(
  file: string,
  origin: string,
  cacheDir: string,
): Promise<ProvisionedEngine> {
  if (!isExecutable(file)) {
    throw new EngineError(
      'engine-not-executable',
      `${file} is no file that can be executed`,
      'Name the server program itself, e.g. /usr/bin/valkey-server.',
    );
  }
  return engineOfProgram({ file, argsBefore: [] }, origin, cacheDir);
}

/** What a program is that somebody named, or that was used before. Throws EngineError: it is no engine. */
export async function engineOfProgram(
  server: Program,
  origin: string,
  cacheDir: string,
): Promise<ProvisionedEngine> {
  const { file } = server;
  const product = await productOf(server);
  const sha256 = await sha256Of(file);
  const beside = (tool: string): Program | null => {
    const path = join(file, '..', `${product.name}-${tool}`);
    return isExecutable(path) ? { file: path, argsBefore: [] } : null;
  };
  return {
    build: { ...product, origin, sha256 },
    ...(await probe(server, sha256, cacheDir)),
    server,
    tools: {
      cli: beside('cli'),
      benchmark: beside('benchmark'),
      checkAof: beside('check-aof'),
      checkRdb: beside('check-rdb'),
    },
  };
}

/** Engines that can be started from PATH, the better ones first; one that does not run is passed over. */
async function enginesOnPath(
  cacheDir: string,
  product: 'valkey' | 'redis',
): Promise<ProvisionedEngine[]> {
  const names = product === 'valkey' ? ['valkey-server', 'redis-server'] : ['redis-server'];
  const found: ProvisionedEngine[] = [];
  for (const name of names) {
    const file = (process.env['PATH'] ?? '')
      .split(delimiter)
      .map((folder) => join(folder, name))
      .find(isExecutable);
    if (file === undefined) continue;
    try {
      found.push(await fromFile(file, 'path', cacheDir));
    } catch (error) {
      // Broken or too old to be asked: as if it were not there.
      if (!(error instanceof EngineError)) throw error;
    }
  }
  return found;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function noEngine(cause: unknown): EngineError {
  const command = installCommand(process.platform, distribution(), debianKeyring() !== null);
  const where = isWsl() ? ' (in WSL)' : '';
  return new EngineError(
    'no-engine',
    `no Valkey or Redis was found on this machine${where}, and none could be fetched: ${reasonOf(cause)}`,
    command,
    { cause },
  );
}

export { type Bundle, programOf } from './bundle.ts';
