/** A fault of ours while serving one client ends that client and is said; the worker serves on. */
import type { Session } from './session.ts';

export function contained(session: Session, work: () => void): void {
  try {
    work();
  } catch (error) {
    const { host, database } = session.proxy.world;
    host.emit({
      type: 'event',
      at: host.now(),
      kind: 'limit',
      database,
      limit: 'internal-error',
      detail: `${session.id}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    });
    session.end('internal-error');
  }
}
