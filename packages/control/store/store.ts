/**
 * The durable state of the control plane: one narrow module, so that a replicated store can take
 * its place when the control plane spans machines (design, decision 17). Here: what happened and
 * what is under way. Below it: resources (resource-tables.ts), transactions (tables.ts).
 */
import { AUDIT_KEPT, EVENTS_KEPT, OPERATIONS_KEPT, TRIM_EVERY } from './limits.ts';
import type { AuditRecord, EventRecord, NewEvent, OperationRecord } from './records.ts';
import { ResourceTables } from './resource-tables.ts';
import { isDiskFull } from './tables.ts';

export class Store extends ResourceTables {
  /** By table, so that none depends on what is written to others. */
  readonly #inserts = new Map<string, number>();

  // --- operations ----------------------------------------------------------------------------

  operation(id: string): OperationRecord | null {
    return this.one('SELECT body FROM operations WHERE id = $id', { id });
  }

  /** Operations that have not ended, oldest first. */
  openOperations(databaseId?: string): OperationRecord[] {
    return databaseId === undefined
      ? this.all('SELECT body FROM operations WHERE open = 1 ORDER BY seq')
      : this.all(
          'SELECT body FROM operations WHERE open = 1 AND database_id = $databaseId ORDER BY seq',
          { databaseId },
        );
  }

  /** Newest first. `before` is the id of the last one already seen. */
  operations(filter: { clusterId?: string; limit: number; before?: string }): OperationRecord[] {
    return this.all(
      `SELECT body FROM operations
       WHERE ($clusterId IS NULL OR cluster_id = $clusterId)
         AND ($before IS NULL OR seq < (SELECT seq FROM operations WHERE id = $before))
       ORDER BY seq DESC LIMIT $limit`,
      { clusterId: filter.clusterId ?? null, before: filter.before ?? null, limit: filter.limit },
    );
  }

  putOperation(operation: OperationRecord): void {
    this.run(
      `INSERT INTO operations (id, cluster_id, database_id, open, body)
       VALUES ($id, $clusterId, $databaseId, $open, $body)
       ON CONFLICT (id) DO UPDATE SET open = excluded.open, body = excluded.body`,
      {
        id: operation.id,
        clusterId: operation.clusterId,
        databaseId: operation.databaseId,
        open: operation.endedAt === null ? 1 : 0,
        body: JSON.stringify(operation),
      },
    );
    this.#trim('operations', 'seq', OPERATIONS_KEPT, 'AND open = 0');
  }

  // --- events and audit ------------------------------------------------------------------------

  /** Records what happened; listeners hear it after the commit. */
  addEvent(event: NewEvent): void {
    const at = this.now();
    const body = { ...event, id: 0, at };
    this.run('INSERT INTO events (at, cluster_id, body) VALUES ($at, $clusterId, $body)', {
      at,
      clusterId: event.clusterId,
      body: JSON.stringify(body),
    });
    const id = Number(this.statement('SELECT last_insert_rowid() AS id').get()?.['id']);
    this.announceLater({ ...body, id });
    this.#trim('events', 'id', EVENTS_KEPT);
  }

  /**
   * An event on which nothing else depends, in a transaction of its own. On a full disk it is only heard, by
   * the log: nobody's work ends because it cannot be told of.
   */
  tell(event: NewEvent): void {
    try {
      this.write(() => this.addEvent(event));
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.announce({ ...event, id: 0, at: this.now() });
    }
  }

  /** Newest first; `since` is an event id that the reader has already seen. */
  events(filter: { clusterId?: string; since?: number; limit: number }): EventRecord[] {
    return this.statement(
      `SELECT id, body FROM events
       WHERE ($clusterId IS NULL OR cluster_id = $clusterId) AND id > $since
       ORDER BY id DESC LIMIT $limit`,
    )
      .all({
        clusterId: filter.clusterId ?? null,
        since: filter.since ?? 0,
        limit: filter.limit,
      })
      .map((row) => ({ ...JSON.parse(String(row['body'])), id: Number(row['id']) }) as EventRecord);
  }

  addAudit(entry: Omit<AuditRecord, 'id' | 'at'>): void {
    const at = this.now();
    this.run('INSERT INTO audit (at, body) VALUES ($at, $body)', {
      at,
      body: JSON.stringify(entry),
    });
    this.#trim('audit', 'id', AUDIT_KEPT);
  }

  audits(limit: number): AuditRecord[] {
    return this.statement('SELECT id, at, body FROM audit ORDER BY id DESC LIMIT $limit')
      .all({ limit })
      .map((row) => ({
        ...(JSON.parse(String(row['body'])) as Omit<AuditRecord, 'id' | 'at'>),
        id: Number(row['id']),
        at: Number(row['at']),
      }));
  }

  #trim(table: string, key: string, kept: number, extra = ''): void {
    const inserts = (this.#inserts.get(table) ?? 0) + 1;
    this.#inserts.set(table, inserts % TRIM_EVERY);
    if (inserts < TRIM_EVERY) return;
    this.db.exec(
      `DELETE FROM ${table} WHERE ${key} <= (SELECT max(${key}) FROM ${table}) - ${kept} ${extra}`,
    );
  }
}
