/** What a guard did, and that an engine is of no use for scripts, is for the user of that cache; other limits are in the log. */
import type { Event } from '../../endpoint/control-protocol.ts';
import type { Store } from '../store/store.ts';

export type LimitHit = Pick<Extract<Event, { kind: 'limit' }>, 'database' | 'limit' | 'detail'>;

export function noteLimit(store: Store, { database, limit, detail }: LimitHit): void {
  const message = messageOf(limit, detail);
  const record = message === null ? null : store.databaseById(database);
  if (record === null || message === null) return;
  store.write(() =>
    store.addEvent({
      reason: limit,
      severity: 'warning',
      message,
      clusterId: record.clusterId,
      databaseId: database,
      shard: null,
      instance: null,
      data: {},
    }),
  );
}

function messageOf(limit: string, detail: string): string | null {
  if (limit === 'scripts-refused') return `${detail.charAt(0).toUpperCase()}${detail.slice(1)}.`;
  return limit.startsWith('guard-') ? `A rule of the guard ${detail}.` : null;
}
