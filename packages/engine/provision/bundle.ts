/**
 * A bundle: programs from a Debian suite with the libraries they link to, in a folder of their own,
 * run by the dynamic loader that came with them. Nothing of the host is used but the kernel.
 *
 * A bundle is made in a staging folder and appears under its final name by one rename, with a
 * manifest of what is in it and the SHA-256 of each file. So a folder with a manifest is whole, and
 * one without is rubbish. `current.json` names the one in use; earlier ones stay, as engines may
 * still run from them.
 */
import { createHash } from 'node:crypto';
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { EngineError, systemCode } from '../errors.ts';
import { FETCH_DEADLINE_MS, MAX_LIBRARY_ROUNDS } from '../limits.ts';
import type { Program } from '../process.ts';
import type { AptPackage, PrivateApt } from './apt.ts';
import { closureOf, packagesFor, scanTree } from './libraries.ts';
import { run } from './run.ts';
import { megabytes } from './so-far.ts';

export interface BundleFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface Manifest {
  readonly format: 1;
  readonly suite: string;
  readonly madeAt: string;
  readonly packages: readonly {
    readonly name: string;
    readonly version: string;
    readonly sha256: string;
  }[];
  /** Paths below are relative to the bundle's folder. */
  readonly loader: string;
  readonly libraryPath: readonly string[];
  readonly programs: Readonly<Record<string, string>>;
  readonly files: readonly BundleFile[];
}

export interface Bundle {
  readonly folder: string;
  readonly manifest: Manifest;
}

const MANIFEST = 'manifest.json';
const CURRENT = 'current.json';

/** Fetches, unpacks and completes the packages; the new bundle is the current one afterwards. */
export async function makeBundle(
  home: string,
  suite: string,
  names: readonly string[],
  apt: PrivateApt,
  onProgress: (detail: string, further?: true) => void,
): Promise<Bundle> {
  await mkdir(home, { recursive: true, mode: 0o700 });
  // The caller holds the lock, so what stands here was left by a crash.
  for (const name of await readdir(home)) {
    if (name.startsWith('staging-')) await rm(join(home, name), { recursive: true, force: true });
  }
  const staging = await mkdtemp(join(home, 'staging-'));
  try {
    const manifest = await fillStaging(staging, suite, names, apt, onProgress);
    await writeDurably(join(staging, MANIFEST), JSON.stringify(manifest, null, 1));
    const main = manifest.packages.find((each) => each.name === names[0]);
    const stamp = createHash('sha256')
      .update(JSON.stringify(manifest.files))
      .digest('hex')
      .slice(0, 8);
    const folder = `${(main?.version ?? 'unknown').replace(/[^A-Za-z0-9.+~-]/g, '_')}-${stamp}`;
    await putInPlace(staging, join(home, folder));
    await writeDurably(join(home, `${CURRENT}.new`), JSON.stringify({ folder }));
    await rename(join(home, `${CURRENT}.new`), join(home, CURRENT));
    return { folder: join(home, folder), manifest };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

async function putInPlace(staging: string, target: string): Promise<void> {
  try {
    await rename(staging, target);
  } catch (error) {
    // The very same content is there already; it stays, whole or damaged parts replaced.
    if (systemCode(error) !== 'ENOTEMPTY' && systemCode(error) !== 'EEXIST') throw error;
    const old = `${staging}.old`;
    await rename(target, old);
    await rename(staging, target);
    await rm(old, { recursive: true, force: true });
  }
}

async function fillStaging(
  staging: string,
  suite: string,
  names: readonly string[],
  apt: PrivateApt,
  onProgress: (detail: string, further?: true) => void,
): Promise<Manifest> {
  const root = join(staging, 'root');
  const debs = join(staging, 'debs');
  await mkdir(root);
  await mkdir(debs);
  const fetched = new Map<string, { version: string; sha256: string }>();
  const known = new Map<string, AptPackage>();
  const ownPrograms = new Set<string>();

  let next: readonly string[] = names;
  for (let round = 0; ; round++) {
    for (const each of await apt.show(next)) known.set(each.name, each);
    const absent = next.filter((name) => !known.has(name));
    if (absent.length > 0) throw notOffered(suite, absent);
    const all = megabytes(next.reduce((sum, name) => sum + (known.get(name)?.bytes ?? 0), 0));
    const count = next.length === 1 ? 'a package' : `${next.length} packages`;
    onProgress(`fetching ${count}, ${all}: ${next.join(', ')}`);
    const files = await apt.download(next, debs, (bytes) =>
      onProgress(`fetching ${count}, ${megabytes(bytes)} of ${all}: ${next.join(', ')}`, true),
    );
    for (const [i, file] of files.entries()) {
      onProgress(`unpacking ${i + 1} of ${files.length}: ${basename(file)}`, true);
      await run('dpkg', ['-x', file, root], { deadlineMs: FETCH_DEADLINE_MS });
      const name = basename(file).split('_')[0] ?? '';
      const sha256 = await sha256Of(file);
      fetched.set(name, { version: known.get(name)?.version ?? 'unknown', sha256 });
    }
    const tree = scanTree(root);
    if (round === 0) for (const name of tree.programs.keys()) ownPrograms.add(name);
    const programs = [...tree.programs].filter(([name]) => ownPrograms.has(name));
    const closure = closureOf(
      tree,
      programs.map(([, program]) => program),
    );
    if (closure.missing.length === 0) {
      await rm(debs, { recursive: true, force: true });
      return describe(staging, suite, fetched, programs, closure, tree.libraries);
    }
    const candidates = [...known.values()]
      .flatMap((each) => each.depends)
      .filter((name) => !fetched.has(name));
    next = [...new Set(packagesFor(closure.missing, candidates))];
    if (next.length === 0 || round >= MAX_LIBRARY_ROUNDS) {
      throw new EngineError(
        'library-not-found',
        `no package of Debian ${suite} was found for ${closure.missing.join(', ')}, needed by ${names.join(', ')}`,
        'Install the engine by hand and name it: cinnabar engine install --path <file>.',
      );
    }
  }
}

function notOffered(suite: string, absent: readonly string[]): EngineError {
  return new EngineError(
    'package-absent',
    `Debian ${suite} does not offer ${absent.join(', ')} now`,
  );
}

async function describe(
  staging: string,
  suite: string,
  fetched: ReadonlyMap<string, { version: string; sha256: string }>,
  programs: readonly (readonly [
    name: string,
    { path: string; elf: { interpreter: string | null } },
  ])[],
  closure: { folders: readonly string[]; files: readonly string[] },
  libraries: ReadonlyMap<string, string>,
): Promise<Manifest> {
  const inside = (path: string): string => relative(realpathSync(staging), path);
  const files: BundleFile[] = [];
  const real = new Set(closure.files.map((file) => realpathSync(file)));
  for (const file of [...real].sort()) {
    files.push({ path: inside(file), bytes: statSync(file).size, sha256: await sha256Of(file) });
  }
  const interpreter = programs[0]?.[1].elf.interpreter ?? '';
  const loader = join(libraries.get(interpreter) ?? '', interpreter);
  return {
    format: 1,
    suite,
    madeAt: new Date().toISOString(),
    packages: [...fetched].map(([name, rest]) => ({ name, ...rest })),
    loader: relative(staging, loader),
    libraryPath: closure.folders.map((folder) => relative(staging, folder)),
    programs: Object.fromEntries(
      programs.map(([name, { path }]) => [name, relative(staging, path)]),
    ),
    files,
  };
}

/** How a program of the bundle is started; null when it holds no such program. */
export function programOf(bundle: Bundle, name: string): Program | null {
  const path = bundle.manifest.programs[name];
  if (path === undefined) return null;
  const libraries = bundle.manifest.libraryPath
    .map((folder) => join(bundle.folder, folder))
    .join(':');
  return {
    file: join(bundle.folder, bundle.manifest.loader),
    argsBefore: ['--argv0', name, '--library-path', libraries, join(bundle.folder, path)],
  };
}

/**
 * The bundle that is in use and whole, without any network; null when there is none. Sizes of all
 * files are compared, and the content of the one that `checked` names: enough to see a torn or
 * tampered copy, and quick. `everything`: all contents.
 */
export async function currentBundle(
  home: string,
  checked: string | 'everything',
): Promise<Bundle | null> {
  let folder: string;
  let manifest: Manifest;
  try {
    const current: { folder: string } = JSON.parse(await readFile(join(home, CURRENT), 'utf8'));
    folder = join(home, basename(current.folder));
    manifest = JSON.parse(await readFile(join(folder, MANIFEST), 'utf8'));
  } catch {
    // Absent or damaged: the same to the caller, who makes it anew.
    return null;
  }
  if (manifest.format !== 1) return null;
  const main = manifest.programs[checked];
  const mainReal = main === undefined ? null : realOf(join(folder, main));
  for (const file of manifest.files) {
    const path = join(folder, file.path);
    if (sizeOf(path) !== file.bytes) return null;
    const content = checked === 'everything' || realOf(path) === mainReal;
    if (content && hashOf(path) !== file.sha256) return null;
  }
  return { folder, manifest };
}

/** All bundles of one home, unchecked; rubbish without a manifest is passed over. */
export async function bundlesIn(home: string): Promise<Bundle[]> {
  const found: Bundle[] = [];
  for (const name of await readdir(home)) {
    if (name.startsWith('staging-')) continue;
    const text = await readFile(join(home, name, MANIFEST), 'utf8').catch(() => null);
    if (text === null) continue;
    const manifest: Manifest = JSON.parse(text);
    found.push({ folder: join(home, name), manifest });
  }
  return found;
}

/** The SHA-256 that the manifest records for a program. */
export function sha256OfProgram(bundle: Bundle, name: string): string {
  const path = join(bundle.folder, bundle.manifest.programs[name] ?? '');
  const real = realOf(path);
  const found = bundle.manifest.files.find(
    (file) => realOf(join(bundle.folder, file.path)) === real,
  );
  return found?.sha256 ?? '';
}

export async function sha256Of(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
}

function hashOf(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

function realOf(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    return -1;
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  await writeFile(path, text, { mode: 0o600 });
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
