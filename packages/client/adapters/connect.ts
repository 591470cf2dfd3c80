/** What becomes of an application's `connect()`: as long as the library takes, and no longer than it may. */
import { KitError, saysUntrusted, whyOffline } from '../errors.ts';
import type { Pool } from '../lanes/pool.ts';

/**
 * The library goes on trying after that, as it does by itself: what is asked for meanwhile waits, and a further
 * `connect()` waits again. A certificate of a CA that this process does not trust fails with what to do about it.
 */
export async function connectedInTime<T>(
  pool: Pool,
  promised: Promise<T>,
  late: () => void = () => {},
): Promise<T> {
  const { connectMs } = pool.settings;
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    if (!Number.isFinite(connectMs)) return;
    timer = setTimeout(() => {
      late();
      reject(notConnected(pool, `not connected after ${connectMs} ms`, pool.offline.why));
    }, connectMs);
  });
  try {
    return await pool.unlessClosed('connect()', Promise.race([promised, deadline]));
  } catch (error) {
    throw saysUntrusted(error) ? notConnected(pool, 'not connected', error) : error;
  } finally {
    clearTimeout(timer);
  }
}

function notConnected(pool: Pool, what: string, cause: unknown): KitError {
  const message = `${pool.endpoint || 'connect()'}: ${what}${whyOffline(cause)}`;
  return new KitError('ERR_CLIENT_OFFLINE', message, { cause });
}
