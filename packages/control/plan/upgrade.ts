/**
 * Which version of the engine a database is to run, and whether its way back to the one before is open
 * (engine rule 10). Pure.
 *
 *   none -> upgrading -> open -> none            all are new; the way back is kept a while, then closed
 *                |         |
 *                +----> returning -> returned    all are old again, and stay so until the next upgrade
 *
 * From the first of these states to the last, what only the newer version knows is refused: a copy of the
 * older one could not follow it, and after the last process is new that is what keeps the data readable
 * for one. An operation that ends before its end (canceled, given up) leaves two versions side by side
 * and the state as it is: both ways are open from there.
 */
import type { Upgrade, UpgradePhase } from '../store/records.ts';

/** 'valkey 8.1.1' is older than 'valkey 9.1.2'; of another product nothing is said. */
export function isOlder(a: string, b: string): boolean {
  const [[product, version = ''], [other, since = '']] = [a.split(' '), b.split(' ')];
  return product === other && version.localeCompare(since, 'en', { numeric: true }) < 0;
}

/** What its processes are to run. `inUse`: what a database without a history would be started with. */
export function wantedEngine(upgrade: Upgrade | null, inUse: string): string {
  if (upgrade === null) return inUse;
  return upgrade.phase === 'upgrading' || upgrade.phase === 'open' ? upgrade.to : upgrade.from;
}

/**
 * What a process is started with. Files that a newer version wrote are read by no older one, so a start
 * from them is one of the version that wrote them; its turn for the older one comes as a replica.
 */
export function engineToStart(
  upgrade: Upgrade | null,
  inUse: string,
  instance: { readonly engine: string },
  fromFiles: boolean,
): string {
  const wanted = wantedEngine(upgrade, inUse);
  return fromFiles && isOlder(wanted, instance.engine) ? instance.engine : wanted;
}

export type KeptUpgrade = Upgrade & { readonly phase: Exclude<UpgradePhase, 'returned'> };

/** Whether an older version may have to follow what is written now. */
export function keepsWayBack(upgrade: Upgrade | null): upgrade is KeptUpgrade {
  return upgrade !== null && upgrade.phase !== 'returned';
}

/** Maintenance has ended, in whatever way; these are the engines of all instances. */
export function afterMaintenance(
  upgrade: Upgrade | null,
  engines: readonly string[],
  now: number,
): Upgrade | null {
  if (upgrade === null) return null;
  const all = (label: string) => engines.every((engine) => engine === label);
  if (all(upgrade.to)) {
    if (upgrade.keepMs === 0) return null;
    return { ...upgrade, phase: 'open', until: upgrade.until ?? now + upgrade.keepMs };
  }
  if (!all(upgrade.from)) return upgrade;
  // An upgrade that came to nothing is as if it had not been asked for.
  return upgrade.phase === 'upgrading' ? null : { ...upgrade, phase: 'returned', until: null };
}
