/**
 * Who may become primary of a shard whose primary is known to be dead.
 *
 * The engine checks nothing: TAKEOVER on a replica that never synced answers OK and serves an empty
 * shard. So a candidate has to prove that it holds what its dead primary acknowledged to it: it
 * followed the very same stream (replication id), has read that stream to its end (its link is
 * down, so nothing is left in a socket), and is not behind what it reported before (engine rule 3).
 */
import type { InstanceRecord, ShardRecord } from '../store/records.ts';
import type { Sighting } from './model.ts';

export type Fitness =
  | { readonly fit: true; readonly offset: number }
  /** `soon`: a later look may find it fit. `older`: a complete copy, but not provably the last. */
  | { readonly fit: false; readonly kind: 'soon' | 'older' | 'empty'; readonly reason: string };

export function fitness(
  shard: ShardRecord,
  instance: InstanceRecord,
  seen: Sighting,
  diedAt: number,
): Fitness {
  const not = (kind: 'soon' | 'older' | 'empty', reason: string): Fitness => ({
    fit: false,
    kind,
    reason,
  });
  if (instance.phase !== 'running' || seen.process === 'gone') return not('empty', 'not-running');
  if (seen.condition === 'unknown') return not('soon', 'not-asked-yet');
  if (seen.condition === 'mute' || seen.condition === 'script') return not('soon', 'not-answering');
  const facts = seen.facts;
  if (facts === null) return not('soon', 'not-asked-yet');
  // What it said before the primary died decides nothing: a sync may have ended in between.
  if (seen.factsAt <= diedAt) return not('soon', 'not-asked-since');
  // It may hold all it needs already; it will say so, or that it failed.
  if (facts.loading || facts.syncing) return not('soon', 'copy-incomplete');
  if (facts.role !== 'replica') return not(instance.synced ? 'older' : 'empty', 'not-a-replica');
  // The id is taken over at the end of a full sync: it proves a whole copy also when its primary
  // died before anybody had recorded the sync.
  if (facts.replicationId !== shard.replicationId) {
    return instance.synced ? not('older', 'other-history') : not('empty', 'never-synced');
  }
  if (facts.offset < instance.offset) return not('older', 'behind-its-own-report');
  if (facts.link !== 'down') return not('soon', 'stream-not-read-to-end');
  return { fit: true, offset: facts.offset };
}

export interface Candidates {
  /** The best one that is fit; null when none is. */
  readonly best: InstanceRecord | null;
  /** Of those that are not: what a user or a later look can hope for. */
  readonly soon: readonly InstanceRecord[];
  /** Best first. */
  readonly older: readonly InstanceRecord[];
  readonly reasons: readonly string[];
}

/**
 * Highest offset wins, then the lowest id. Of older copies those of the shard's own history come
 * first: positions in two histories cannot be compared.
 */
export function candidates(
  shard: ShardRecord,
  instances: readonly InstanceRecord[],
  seen: (id: string) => Sighting,
  /** When the dead primary's process was known to be gone. */
  diedAt: number,
): Candidates {
  let best: { instance: InstanceRecord; offset: number } | null = null;
  const soon: InstanceRecord[] = [];
  const older: InstanceRecord[] = [];
  const reasons: string[] = [];
  for (const instance of instances) {
    const result = fitness(shard, instance, seen(instance.id), diedAt);
    if (result.fit) {
      const ahead =
        best === null ||
        result.offset > best.offset ||
        (result.offset === best.offset && instance.id < best.instance.id);
      if (ahead) best = { instance, offset: result.offset };
    } else {
      reasons.push(result.reason);
      if (result.kind === 'soon') soon.push(instance);
      if (result.kind === 'older') older.push(instance);
    }
  }
  const rank = (instance: InstanceRecord) => {
    const facts = seen(instance.id).facts;
    const own = facts !== null && facts.replicationId === shard.replicationId;
    return { own: own ? 1 : 0, offset: facts?.offset ?? 0 };
  };
  older.sort((a, b) => {
    const [x, y] = [rank(a), rank(b)];
    return y.own - x.own || y.offset - x.offset || (a.id < b.id ? -1 : 1);
  });
  return { best: best?.instance ?? null, soon, older, reasons };
}
