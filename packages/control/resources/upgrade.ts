/**
 * What a user may ask of a database's version: to go up, back, or to close the way back. Pure; each
 * answers the record that says so, or throws ControlError 409.
 */
import { ControlError } from '../errors.ts';
import { isOlder, keepsWayBack } from '../plan/upgrade.ts';
import type { DatabaseRecord, StateReason, Upgrade } from '../store/index.ts';

/**
 * Its processes are to be made anew: what that means for its version. Null: no way back follows from it,
 * because nothing becomes newer.
 *
 * @param asked whether a newer engine was asked for by name, or only new processes
 */
export function upgradeOf(
  { upgrade }: Pick<DatabaseRecord, 'upgrade'>,
  engines: readonly string[],
  inUse: string,
  keepMs: number,
  asked: boolean,
): Upgrade | null {
  if (upgrade !== null) {
    const { phase, from, to } = upgrade;
    // New processes of what it is to run anyway.
    if (!asked || phase === 'open') return upgrade;
    const next = phase === 'returned' ? inUse : to;
    return { phase: 'upgrading', from, to: next, keepMs, until: null };
  }
  const [oldest = inUse] = [...engines].sort((a, b) => (isOlder(a, b) ? -1 : 1));
  if (!isOlder(oldest, inUse)) return null;
  return { phase: 'upgrading', from: oldest, to: inUse, keepMs, until: null };
}

/** Why it cannot be upgraded now; null: it can. */
export function whyNoUpgrade(
  name: string,
  { upgrade }: Pick<DatabaseRecord, 'upgrade'>,
  engines: readonly string[],
  inUse: string,
): StateReason | null {
  const upToDate = {
    code: 'EngineUpToDate',
    message: `'${name}' runs ${[...new Set(engines)].join(', ') || inUse} already, and the engine in use is ${inUse}. "cinnabar engine install --refresh" fetches the newest; it is used from the next start of Cinnabar on.`,
  };
  if (upgrade === null) return engines.every((engine) => engine === inUse) ? upToDate : null;
  if (upgrade.phase === 'open') {
    if (!isOlder(upgrade.to, inUse)) return upToDate;
    return {
      code: 'WayBackOpen',
      message: `'${name}' may still go back to ${upgrade.from}${untilText(upgrade)}. Close that way first: cinnabar upgrade ${name} --finish; then upgrade to ${inUse}.`,
    };
  }
  if (upgrade.phase === 'returned' && !isOlder(upgrade.from, inUse)) return upToDate;
  return null;
}

/** All processes are to run the older engine again. `known`: whether it can be started here. */
export function returning(
  name: string,
  { upgrade }: Pick<DatabaseRecord, 'upgrade'>,
  known: (label: string) => boolean,
): Upgrade {
  if (!keepsWayBack(upgrade)) {
    const why =
      upgrade === null
        ? 'no upgrade is under way, and the time in which one can be taken back is over'
        : `it has gone back to ${upgrade.from} already`;
    throw new ControlError('NoWayBack', 409, `'${name}' has no way back: ${why}.`);
  }
  if (!known(upgrade.from)) {
    throw new ControlError(
      'EngineMissing',
      409,
      `'${name}' cannot go back: ${upgrade.from} is not on this machine any more. Install it again where it was, and restart Cinnabar.`,
    );
  }
  return { ...upgrade, phase: 'returning' };
}

/** The way back may be closed now. */
export function requireOpen(name: string, { upgrade }: Pick<DatabaseRecord, 'upgrade'>): Upgrade {
  if (upgrade?.phase === 'open') return upgrade;
  if (!keepsWayBack(upgrade)) {
    throw new ControlError('NoWayBack', 409, `'${name}' has no way back that could be closed.`);
  }
  throw new ControlError(
    'UpgradeNotComplete',
    409,
    `Not every process of '${name}' runs ${upgrade.to}. Go on with cinnabar upgrade ${name}, or go back with --back.`,
  );
}

/** Why slots stay where they are, and shards as many; null: they may move. */
export function slotsKept({ upgrade }: Pick<DatabaseRecord, 'upgrade'>): StateReason | null {
  if (!keepsWayBack(upgrade)) return null;
  const message =
    upgrade.phase === 'open'
      ? `Its way back to ${upgrade.from} is open${untilText(upgrade)}, and an engine of that version takes no slots: close it first (cinnabar upgrade <name> --finish), or choose a SKU with as many shards.`
      : `It is between ${upgrade.from} and ${upgrade.to}, which cannot hand slots to each other: end the upgrade first (cinnabar upgrade <name>), or choose a SKU with as many shards.`;
  return { code: 'WayBackOpen', message };
}

function untilText({ until }: Upgrade): string {
  return until === null ? '' : ` until ${new Date(until).toISOString()}`;
}
