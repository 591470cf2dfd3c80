/**
 * Opening the store: lock, migrate, refuse what is newer.
 *
 * One control process a data folder: the lock is an exclusive transaction on a file of its own, so
 * the operating system releases it when the process dies, however it dies. A pid file would lie
 * after a crash; Node has no flock.
 *
 * Durability: write-ahead log with synchronous=FULL, so a call that was answered survives a power
 * cut. The one exception is the commit of a promotion (`Store.decide`): it only has to survive the
 * death of this process (a power cut ends the engines too), and an fsync there would be added to
 * every failover. The commit that follows the promotion is full again.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { inspectProcess, refOf } from '../../engine/index.ts';
import { CONTROL_FILE, type ControlFile, UNDER_WAY } from '../boot-protocol.ts';
import { ControlError } from '../errors.ts';
import { BUSY_TIMEOUT_MS, LAUNCH_MS } from './limits.ts';
import { MIGRATIONS } from './schema.ts';

export interface FolderLock {
  release(): void;
}

/** A handle that nobody refers to is closed by the garbage collector, and the lock with it. */
const held = new Set<DatabaseSync>();

/**
 * Takes the data folder for this process. Throws ControlError `home-in-use`, `start-under-way`,
 * `home-not-writable`.
 */
export function lockFolder(home: string): FolderLock {
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    const lock = new DatabaseSync(join(home, 'lock.db'), { timeout: 0 });
    try {
      lock.exec('PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE');
    } catch (error) {
      lock.close();
      throw error;
    }
    held.add(lock);
    return {
      release: () => {
        if (held.delete(lock)) lock.close();
      },
    };
  } catch (error) {
    if (String(error).includes('locked')) {
      if (!serves(home)) {
        throw new ControlError(
          UNDER_WAY,
          409,
          `Another start or stop of Cinnabar is under way on ${home}. Wait for it: "cinnabar status".`,
        );
      }
      throw new ControlError(
        'home-in-use',
        409,
        `Another control process is using ${home}. "cinnabar status" shows it; "cinnabar down" ends it; CINNABAR_HOME names another folder.`,
      );
    }
    throw new ControlError(
      'home-not-writable',
      500,
      `The data folder ${home} cannot be written (${error instanceof Error ? error.message : error}). Check its owner and free space, or set CINNABAR_HOME to another folder.`,
    );
  }
}

/**
 * The file is written when the API answers, and removed when a stop begins. A start that was
 * that far after somebody asked for this one was under way then, and asking again finds it.
 */
function serves(home: string): boolean {
  const file = join(home, CONTROL_FILE);
  try {
    const { pid } = JSON.parse(readFileSync(file, 'utf8')) as ControlFile;
    const asked = Date.now() - process.uptime() * 1_000 - LAUNCH_MS;
    const ref = refOf(pid);
    if (ref === null || inspectProcess(ref).state === 'gone') return false;
    const { mtimeMs } = statSync(file);
    // Later than now: the clock was set back since.
    return mtimeMs < asked || mtimeMs > Date.now() + LAUNCH_MS;
  } catch {
    return false; // absent, or left by one that was killed
  }
}

/**
 * Opens and migrates the database file; ':memory:' for simulations. Throws ControlError
 * `store-damaged`, `store-too-new`.
 */
export function openDatabase(
  file: string,
  migrations: readonly string[] = MIGRATIONS,
): DatabaseSync {
  const db = readable(file);
  const version = versionOf(db);
  if (version > migrations.length) {
    db.close();
    throw new ControlError(
      'store-too-new',
      500,
      `The store ${file} has schema ${version}; this build knows ${migrations.length}. It was written by a newer Cinnabar: use that one.`,
    );
  }
  if (version > 0 && version < migrations.length && existsSync(file)) {
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    copyFileSync(file, `${file}.schema-${version}`);
  }
  try {
    for (let step = version; step < migrations.length; step++) {
      db.exec(`BEGIN; ${migrations[step]}; PRAGMA user_version = ${step + 1}; COMMIT`);
    }
  } catch (error) {
    db.close(); // rolls the step back: the store is as the step before left it
    throw error;
  }
  // So that a copy of the file alone is a store, if not the newest.
  if (version < migrations.length) db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  return db;
}

const DATABASE_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Refuses to begin anew beside the files of caches that an earlier store knew: engines that no record
 * names are ended as strays, and with them may end the last copy of somebody's data. A store that is
 * there and knows nothing is no better than none: it was emptied, or is a copy of a young one without
 * the log beside it, which holds all of it. Throws ControlError `store-missing`, `store-damaged`.
 */
export function refuseLostStore(file: string, dataRoot: string): void {
  if (!existsSync(dataRoot)) return;
  // By the names that we give: a disk of its own has folders of the system's, too.
  const owned = readdirSync(dataRoot).find(
    (name) => DATABASE_ID.test(name) && readdirSync(join(dataRoot, name)).length > 0,
  );
  if (owned === undefined) return;
  const there = `${dataRoot} holds files of caches (${owned}); nothing was changed.`;
  if (!existsSync(file)) {
    throw new ControlError(
      'store-missing',
      500,
      `The store ${file} is missing, but ${there} Put back a copy of the store, or move ${dataRoot} away to begin anew.`,
    );
  }
  if (!knowsNothing(file)) return;
  throw new ControlError(
    'store-damaged',
    500,
    `The store ${file} knows no cache, but ${there} It was emptied, or is a copy without its log (${file}-wal). Put back a whole copy of the store, or move ${dataRoot} away to begin anew.`,
  );
}

/** Reads only. False also for what is no store: whoever opens it says so. */
function knowsNothing(file: string): boolean {
  try {
    const db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
    try {
      if (versionOf(db) === 0) return true;
      return db.prepare('SELECT 1 FROM databases LIMIT 1').get() === undefined;
    } finally {
      db.close();
    }
  } catch {
    return false;
  }
}

function versionOf(db: DatabaseSync): number {
  return Number(db.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
}

/** SQLite looks at the file only when the first statement runs. */
function readable(file: string): DatabaseSync {
  const db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON');
    // Otherwise a damaged page is met when some record is needed, with half of a start behind us.
    const verdict = db.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
    if (verdict !== 'ok') throw new Error(String(verdict));
    return db;
  } catch (error) {
    db.close();
    throw new ControlError(
      'store-damaged',
      500,
      `The store ${file} cannot be read (${error instanceof Error ? error.message : error}); nothing was changed. Put back a copy of it, or move the whole data folder away to begin anew.`,
    );
  }
}
