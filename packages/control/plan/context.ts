/** What the steps of one shard share, and two steps that both a primary and a replica may need. */
import type { InstanceRecord, ShardRecord } from '../store/records.ts';
import { judge } from './hang.ts';
import { WAIT_POLL_MS } from './limits.ts';
import type { Action, Sighting, View } from './model.ts';

export interface ShardContext {
  readonly view: View;
  readonly shard: ShardRecord;
  readonly members: readonly InstanceRecord[];
  readonly clustered: boolean;
  readonly seen: (id: string) => Sighting;
  readonly act: (action: Action) => void;
  readonly wait: (
    reason: string,
    recheckMs?: number | null,
    refresh?: readonly string[],
    draining?: boolean,
  ) => void;
}

/** Starts what is not running, unless it is too early after a failed start. */
export function startWhenDue(
  { view, seen, act, wait }: ShardContext,
  instance: InstanceRecord,
  as: InstanceRecord['start'],
): void {
  if (instance.phase !== 'planned' && instance.phase !== 'dead') return;
  const notBefore = seen(instance.id).startNotBefore;
  if (view.now < notBefore) wait('backing-off', notBefore - view.now);
  else act({ kind: 'start', instance: instance.id, as });
}

/**
 * Fences an instance that does not answer once its deadline allows it. The caller has made sure
 * that it is not the last copy. `sinceDeadlineMs`: since the shard last failed over for a deadline.
 */
export function fenceIfHung(
  { view, seen, act, wait }: ShardContext,
  instance: InstanceRecord,
  sight: Sighting,
  sinceDeadlineMs: number | null = null,
): void {
  const verdict = judge(sight, {
    now: view.now,
    ownDelayMs: view.ownDelayMs,
    othersSilent: view.instances.some(
      (i) => i.id !== instance.id && i.phase === 'running' && seen(i.id).condition === 'mute',
    ),
    sinceDeadlineMs,
  });
  if ('fence' in verdict) act({ kind: 'fence', instance: instance.id, reason: verdict.fence });
  else wait(`suspect-${verdict.suspect}`, Math.min(verdict.waitMs, WAIT_POLL_MS));
}
