/** What a guard did is for the user of that cache; other limits are in the log. */
import type { Event } from '../../endpoint/control-protocol.ts';
import type { Store } from '../store/store.ts';

export type LimitHit = Pick<Extract<Event, { kind: 'limit' }>, 'database' | 'limit' | 'detail'>;

export function noteLimit(store: Store, { database, limit, detail }: LimitHit): void {
  const record = limit.startsWith('guard-') ? store.databaseById(database) : null;
  if (record === null) return;
  store.tell({
    reason: limit,
    severity: 'warning',
    message: `A rule of the guard ${detail}.`,
    clusterId: record.clusterId,
    databaseId: database,
    shard: null,
    instance: null,
    data: {},
  });
}
