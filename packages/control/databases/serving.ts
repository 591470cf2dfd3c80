/** How far a start is. */
import { needsWord } from '../plan/shard.ts';
import type { Store } from '../store/index.ts';

export interface Serving {
  /** Databases that serve. */
  readonly count: number;
  /** Of the first that does not; null when all do. */
  readonly why: string | null;
  /** Waiting changes nothing any more. */
  readonly settled: boolean;
}

/** `failure`: of the last step of a database, if it failed. */
export function servingNow(
  store: Pick<Store, 'databases' | 'shards' | 'clusters'>,
  failure: (databaseId: string) => string | undefined,
): Serving {
  const all = store.databases().filter((each) => each.resourceState !== 'CreateFailed');
  const shards = all.map((each) => store.shards(each.id));
  const up = shards.map((of) => of.length > 0 && of.every(({ phase }) => phase === 'serving'));
  const count = up.filter(Boolean).length;
  // One that waits for the user's word gets none by waiting.
  const stuck = shards.filter((of) => of.some(needsWord)).length;
  const late = all[up.indexOf(false)];
  if (late === undefined) return { count, why: null, settled: true };
  const waiting = store.shards(late.id).find(({ phase }) => phase !== 'serving');
  const name = store.clusters().find(({ id }) => id === late.clusterId)?.name ?? late.id;
  const why = failure(late.id) ?? waiting?.reason.message ?? 'it is being made';
  return { count, why: `${name}: ${why}`, settled: count + stuck === all.length };
}
