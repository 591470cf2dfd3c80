/**
 * Where things are: data, engines, sockets. One function of the environment, so that every command
 * and `uninstall` mean the same folders.
 */
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, lstatSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { CliError, errorCode, systemError } from './errors.ts';
import { userId } from './self.ts';

export interface Folders {
  /** Data: store, certificates, caches, logs. */
  readonly home: string;
  /** Sockets of this data folder. */
  readonly runDir: string;
  /** Parent of the socket folders of all data folders of this user. */
  readonly runRoot: string;
  /** Provisioned engines, shared by all data folders of this user. */
  readonly engineCache: string;
  /** Our own code, compiled: see code-cache.ts. */
  readonly codeCache: string;
}

/** The XDG rules say that a relative path in these variables is to be ignored. */
function absolute(value: string | undefined): string | null {
  return value !== undefined && path.isAbsolute(value) ? value : null;
}

export function foldersFrom(env: NodeJS.ProcessEnv, homeOption?: string): Folders {
  const user = absolute(env['HOME']) ?? homedir();
  const named = homeOption ?? (env['CINNABAR_HOME'] || undefined);
  const home =
    named === undefined
      ? path.join(absolute(env['XDG_DATA_HOME']) ?? path.join(user, '.local/share'), 'cinnabar')
      : path.resolve(named);
  const runtime = absolute(env['XDG_RUNTIME_DIR']);
  const runRoot = runtime === null ? `/tmp/cinnabar-${userId()}` : path.join(runtime, 'cinnabar');
  const cache = path.join(absolute(env['XDG_CACHE_HOME']) ?? path.join(user, '.cache'), 'cinnabar');
  // Two data folders of one user must not share sockets; a hash keeps the path short (107 bytes).
  const short = createHash('sha256').update(home).digest('hex').slice(0, 8);
  return {
    home,
    runRoot,
    runDir: path.join(runRoot, short),
    engineCache: path.join(cache, 'engines'),
    codeCache: path.join(cache, 'code'),
  };
}

/**
 * As `mkdir -p`, all new ones private. Not by Node's `recursive`: on a file system where nothing can
 * be made (/proc) that never comes back.
 */
function makeAll(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    const code = errorCode(error);
    if (code === 'EEXIST') return;
    const parent = path.dirname(folder);
    if (code !== 'ENOENT' || existsSync(parent)) throw error;
    makeAll(parent);
    mkdirSync(folder, { mode: 0o700 });
  }
}

/** Makes a folder that only its owner may enter, and refuses one that somebody else owns. */
export function makePrivate(folder: string): void {
  try {
    makeAll(folder);
    const facts = lstatSync(folder);
    if (!facts.isDirectory() || facts.uid !== userId()) {
      throw new CliError(
        'denied',
        'folder-not-ours',
        `${folder} is ${facts.isDirectory() ? `owned by user ${facts.uid}` : 'not a folder'}.`,
        'Somebody else made it. Remove it, or choose another with --home or XDG_RUNTIME_DIR.',
      );
    }
    if ((facts.mode & 0o077) !== 0) chmodSync(folder, 0o700);
  } catch (error) {
    throw error instanceof CliError ? error : systemError(error, 'make the folder', folder);
  }
}

export function makeFolders(folders: Folders): void {
  makePrivate(folders.home);
  makePrivate(folders.runRoot);
  makePrivate(folders.runDir);
}
