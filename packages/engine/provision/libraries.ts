/**
 * Which libraries an unpacked program still misses, and which package may hold them.
 *
 * Taking a package's whole dependency tree would fetch half a system (valkey-server depends on
 * systemd). What a program needs to run is what it links to, and what that links to; each soname
 * has a package that Debian names after it, nearly always: libssl.so.3 is in libssl3t64.
 */
import { type Dirent, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type ElfNeeds, readElf } from './elf.ts';

export interface Tree {
  /** Program name -> path, for every dynamically linked program in a bin folder. */
  readonly programs: ReadonlyMap<string, { readonly path: string; readonly elf: ElfNeeds }>;
  /** Library file name (also of links) -> its folder. */
  readonly libraries: ReadonlyMap<string, string>;
}

export function scanTree(root: string): Tree {
  const programs = new Map<string, { path: string; elf: ElfNeeds }>();
  const libraries = new Map<string, string>();
  for (const folder of ['usr/bin', 'usr/sbin', 'bin', 'sbin']) {
    for (const entry of entries(join(root, folder))) {
      const path = join(root, folder, entry.name);
      const elf = elfOf(path);
      if (elf?.interpreter != null) programs.set(entry.name, { path, elf });
    }
  }
  const walk = (folder: string, depth: number): void => {
    for (const entry of entries(folder)) {
      const path = join(folder, entry.name);
      if (entry.isDirectory() && depth > 0) walk(path, depth - 1);
      else if (
        !entry.isDirectory() &&
        /\.so(?:\.|$)/.test(entry.name) &&
        !libraries.has(entry.name)
      ) {
        libraries.set(entry.name, folder);
      }
    }
  };
  for (const folder of ['lib', 'lib64', 'usr/lib', 'usr/lib64']) walk(join(root, folder), 3);
  return { programs, libraries };
}

export interface Closure {
  readonly missing: readonly string[];
  /** Folders that hold the libraries found, in the order of the search path. */
  readonly folders: readonly string[];
  readonly files: readonly string[];
}

/** Follows DT_NEEDED from the given programs through the tree. */
export function closureOf(
  tree: Tree,
  programs: readonly { path: string; elf: ElfNeeds }[],
): Closure {
  const missing = new Set<string>();
  const folders = new Set<string>();
  const files = new Set<string>();
  const seen = new Set<string>();
  const queue = programs.flatMap((program) => {
    files.add(program.path);
    return [...program.elf.needed, program.elf.interpreter ?? ''];
  });
  for (let soname = queue.pop(); soname !== undefined; soname = queue.pop()) {
    if (soname === '' || seen.has(soname)) continue;
    seen.add(soname);
    const folder = tree.libraries.get(soname);
    if (folder === undefined) {
      missing.add(soname);
      continue;
    }
    folders.add(folder);
    files.add(join(folder, soname));
    queue.push(...(elfOf(join(folder, soname))?.needed ?? []));
  }
  return { missing: [...missing].sort(), folders: [...folders].sort(), files: [...files].sort() };
}

/** Names that do not follow the rule below. */
const ODD_NAMES: Readonly<Record<string, string>> = { zlib1g: 'z1' };

/**
 * The packages to fetch next for these sonames, among the dependencies of what is unpacked: those
 * named after a soname; when none is, every library among them.
 */
export function packagesFor(missing: readonly string[], candidates: readonly string[]): string[] {
  const wanted = new Set(missing.map(plain));
  const named = candidates.filter((name) =>
    wanted.has(ODD_NAMES[name] ?? plain(name.replace(/t64$/, ''))),
  );
  if (named.length > 0) return named;
  return candidates.filter((name) => /^(?:lib|zlib)/.test(name));
}

/** 'libstdc++.so.6', 'libgcc_s.so.1' and 'libstdc++6', 'libgcc-s1' become equal. */
function plain(name: string): string {
  return name
    .replace(/^lib/, '')
    .replace('.so', '')
    .replace(/[^a-z0-9]/gi, '')
    .toLowerCase();
}

function elfOf(path: string): ElfNeeds | null {
  try {
    return statSync(path).isFile() ? readElf(path) : null;
  } catch {
    // A link that points out of the tree: not part of it.
    return null;
  }
}

function entries(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}
