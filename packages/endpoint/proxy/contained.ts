/** A fault of ours while serving one client ends that client and is said; the worker serves on. */
import type { Session } from './session.ts';

export function contained(session: Session, work: () => void): void {
  try {
    work();
  } catch (error) {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    session.proxy.world.reached('internal-error', `${session.id}: ${what}`);
    session.end('internal-error');
  }
}
