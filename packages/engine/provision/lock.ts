/**
 * One writer a cache folder, over processes.
 *
 * A lock file with a pid in it is left behind by a crash and stolen by two at once. The lock of a
 * SQLite transaction is the kernel's: it ends with the process that holds it, however that ends.
 */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { EngineError, reasonOf } from '../errors.ts';
import { LOCK_DEADLINE_MS, LOCK_POLL_MS } from '../limits.ts';

/** Runs `work` alone among all processes that use this folder. `onWait` is called once if it has to wait. */
export async function withLock<T>(
  folder: string,
  onWait: () => void,
  work: () => Promise<T>,
): Promise<T> {
  const file = new DatabaseSync(join(folder, 'lock.sqlite'));
  try {
    file.exec('PRAGMA busy_timeout = 0');
    const deadline = performance.now() + LOCK_DEADLINE_MS;
    for (let waited = false; !tryLock(file); waited = true) {
      if (performance.now() > deadline) {
        throw new EngineError(
          'provisioning-locked',
          `another process has been fetching into ${folder} for ${LOCK_DEADLINE_MS / 60_000} minutes`,
          'End that process, then try again.',
        );
      }
      if (!waited) onWait();
      await sleep(LOCK_POLL_MS);
    }
    return await work();
  } finally {
    // Closing ends the transaction, and with it the lock.
    file.close();
  }
}

function tryLock(file: DatabaseSync): boolean {
  try {
    file.exec('BEGIN EXCLUSIVE');
    return true;
  } catch (error) {
    if (/locked|busy/i.test(reasonOf(error))) return false;
    throw error;
  }
}
