/**
 * The durable state of the control plane: one narrow module, so that a replicated store can take
 * its place when the control plane spans machines (design, decision 17).
 *
 * Synchronous on purpose: a decision and its commit happen in one turn of the event loop, so no
 * other decision can slip in between. Reads are whole records; writes happen inside `write` (full
 * durability) or `decide` (see open.ts). Leaving a transaction by an exception rolls it back.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { ControlError } from '../errors.ts';
import { AUDIT_KEPT, EVENTS_KEPT, OPERATIONS_KEPT, TRIM_EVERY } from './limits.ts';
import type {
  AuditRecord,
  ClusterRecord,
  DatabaseRecord,
  EventRecord,
  GroupRecord,
  InstanceRecord,
  NewEvent,
  OperationRecord,
  PortClaim,
  ShardRecord,
} from './records.ts';

/** Encrypts what must not be readable in the file; `owner` is bound to the text. */
export interface Sealer {
  seal(owner: string, text: string): string;
  open(owner: string, sealed: string): string;
}

type Row = Record<string, SQLInputValue>;

export class Store {
  readonly #db: DatabaseSync;
  readonly #sealer: Sealer;
  readonly #now: () => number;
  readonly #statements = new Map<string, StatementSync>();
  readonly #eventListeners: ((event: EventRecord) => void)[] = [];
  #depth = 0;
  #inserts = 0;
  #pending: EventRecord[] = [];

  constructor(db: DatabaseSync, sealer: Sealer, now: () => number) {
    this.#db = db;
    this.#sealer = sealer;
    this.#now = now;
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
  }

  /** Runs `work` in one transaction that survives a power cut once this returns. */
  write<T>(work: () => T): T {
    return this.#transaction(work);
  }

  /** As `write`, but durable only against the death of this process: for promotions. */
  decide<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    this.#db.exec('PRAGMA synchronous = NORMAL');
    try {
      return this.#transaction(work);
    } finally {
      this.#db.exec('PRAGMA synchronous = FULL');
    }
  }

  #transaction<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    this.#db.exec('BEGIN IMMEDIATE');
    this.#depth++;
    try {
      const result = work();
      this.#db.exec('COMMIT');
      this.#depth--;
      this.#announce();
      return result;
    } catch (error) {
      this.#depth--;
      this.#pending = [];
      this.#db.exec('ROLLBACK');
      throw asControlError(error);
    }
  }

  #announce(): void {
    const events = this.#pending;
    this.#pending = [];
    for (const event of events) for (const listener of this.#eventListeners) listener(event);
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #run(sql: string, values: Row): void {
    if (this.#depth === 0) throw new Error(`write outside a transaction: ${sql}`);
    this.#statement(sql).run(values);
  }

  #one<T>(sql: string, values: Row): T | null {
    const row = this.#statement(sql).get(values);
    return row === undefined ? null : (JSON.parse(String(row['body'])) as T);
  }

  #all<T>(sql: string, values: Row = {}): T[] {
    return this.#statement(sql)
      .all(values)
      .map((row) => JSON.parse(String(row['body'])) as T);
  }

  // --- single values -----------------------------------------------------------------------

  meta(key: string): string | null {
    const row = this.#statement('SELECT value AS body FROM meta WHERE key = $key').get({ key });
    return row === undefined ? null : String(row['body']);
  }

  setMeta(key: string, value: string): void {
    this.#run(
      'INSERT INTO meta VALUES ($key, $value) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
      { key, value },
    );
  }

  // --- resources ---------------------------------------------------------------------------

  groups(): GroupRecord[] {
    return this.#all('SELECT body FROM groups ORDER BY name');
  }

  group(name: string): GroupRecord | null {
    return this.#one('SELECT body FROM groups WHERE name = $name', { name: name.toLowerCase() });
  }

  putGroup(group: GroupRecord): void {
    this.#run(
      'INSERT INTO groups VALUES ($name, $body) ON CONFLICT (name) DO UPDATE SET body = excluded.body',
      { name: group.name.toLowerCase(), body: JSON.stringify(group) },
    );
  }

  removeGroup(name: string): void {
    this.#run('DELETE FROM groups WHERE name = $name', { name: name.toLowerCase() });
  }

  clusters(group?: string): ClusterRecord[] {
    return group === undefined
      ? this.#all('SELECT body FROM clusters ORDER BY name')
      : this.#all('SELECT body FROM clusters WHERE group_name = $group ORDER BY name', {
          group: group.toLowerCase(),
        });
  }

  cluster(group: string, name: string): ClusterRecord | null {
    return this.#one('SELECT body FROM clusters WHERE group_name = $group AND name = $name', {
      group: group.toLowerCase(),
      name: name.toLowerCase(),
    });
  }

  clusterById(id: string): ClusterRecord | null {
    return this.#one('SELECT body FROM clusters WHERE id = $id', { id });
  }

  putCluster(cluster: ClusterRecord): void {
    this.#run(
      `INSERT INTO clusters VALUES ($id, $group, $name, $body)
       ON CONFLICT (id) DO UPDATE SET body = excluded.body`,
      {
        id: cluster.id,
        group: cluster.group.toLowerCase(),
        name: cluster.name.toLowerCase(),
        body: JSON.stringify(cluster),
      },
    );
  }

  removeCluster(id: string): void {
    this.#run('DELETE FROM clusters WHERE id = $id', { id });
  }

  databases(clusterId?: string): DatabaseRecord[] {
    return clusterId === undefined
      ? this.#all('SELECT body FROM databases ORDER BY id')
      : this.#all('SELECT body FROM databases WHERE cluster_id = $clusterId', { clusterId });
  }

  databaseById(id: string): DatabaseRecord | null {
    return this.#one('SELECT body FROM databases WHERE id = $id', { id });
  }

  putDatabase(database: DatabaseRecord): void {
    this.#run(
      `INSERT INTO databases VALUES ($id, $clusterId, $body)
       ON CONFLICT (id) DO UPDATE SET body = excluded.body`,
      { id: database.id, clusterId: database.clusterId, body: JSON.stringify(database) },
    );
  }

  /** Removes the database with its shards, instances, secrets and ports. */
  removeDatabase(id: string): void {
    this.#run('DELETE FROM shards WHERE database_id = $id', { id });
    this.#run('DELETE FROM instances WHERE database_id = $id', { id });
    this.#run('DELETE FROM databases WHERE id = $id', { id });
    this.#run(`DELETE FROM secrets WHERE owner = $id OR owner LIKE $id || '/%'`, { id });
    this.#run(`DELETE FROM ports WHERE owner = $id OR owner LIKE $id || '/%'`, { id });
  }

  shards(databaseId: string): ShardRecord[] {
    return this.#all('SELECT body FROM shards WHERE database_id = $databaseId ORDER BY idx', {
      databaseId,
    });
  }

  shard(databaseId: string, index: number): ShardRecord | null {
    return this.#one('SELECT body FROM shards WHERE database_id = $databaseId AND idx = $index', {
      databaseId,
      index,
    });
  }

  putShard(shard: ShardRecord): void {
    this.#run(
      `INSERT INTO shards VALUES ($databaseId, $index, $body)
       ON CONFLICT (database_id, idx) DO UPDATE SET body = excluded.body`,
      { databaseId: shard.databaseId, index: shard.index, body: JSON.stringify(shard) },
    );
  }

  removeShard(databaseId: string, index: number): void {
    this.#run('DELETE FROM shards WHERE database_id = $databaseId AND idx = $index', {
      databaseId,
      index,
    });
  }

  instances(databaseId: string): InstanceRecord[] {
    return this.#all('SELECT body FROM instances WHERE database_id = $databaseId ORDER BY id', {
      databaseId,
    });
  }

  instance(id: string): InstanceRecord | null {
    return this.#one('SELECT body FROM instances WHERE id = $id', { id });
  }

  putInstance(instance: InstanceRecord): void {
    this.#run(
      `INSERT INTO instances VALUES ($id, $databaseId, $body)
       ON CONFLICT (id) DO UPDATE SET body = excluded.body`,
      { id: instance.id, databaseId: instance.databaseId, body: JSON.stringify(instance) },
    );
  }

  removeInstance(id: string): void {
    this.#run('DELETE FROM instances WHERE id = $id', { id });
  }

  // --- operations ----------------------------------------------------------------------------

  operation(id: string): OperationRecord | null {
    return this.#one('SELECT body FROM operations WHERE id = $id', { id });
  }

  /** Operations that have not ended, oldest first. */
  openOperations(databaseId?: string): OperationRecord[] {
    return databaseId === undefined
      ? this.#all('SELECT body FROM operations WHERE open = 1 ORDER BY seq')
      : this.#all(
          'SELECT body FROM operations WHERE open = 1 AND database_id = $databaseId ORDER BY seq',
          { databaseId },
        );
  }

  /** Newest first. `before` is the id of the last one already seen. */
  operations(filter: { clusterId?: string; limit: number; before?: string }): OperationRecord[] {
    return this.#all(
      `SELECT body FROM operations
       WHERE ($clusterId IS NULL OR cluster_id = $clusterId)
         AND ($before IS NULL OR seq < (SELECT seq FROM operations WHERE id = $before))
       ORDER BY seq DESC LIMIT $limit`,
      { clusterId: filter.clusterId ?? null, before: filter.before ?? null, limit: filter.limit },
    );
  }

  putOperation(operation: OperationRecord): void {
    this.#run(
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
    const at = this.#now();
    const body = { ...event, id: 0, at };
    this.#run('INSERT INTO events (at, cluster_id, body) VALUES ($at, $clusterId, $body)', {
      at,
      clusterId: event.clusterId,
      body: JSON.stringify(body),
    });
    const id = Number(this.#statement('SELECT last_insert_rowid() AS id').get()?.['id']);
    this.#pending.push({ ...body, id });
    this.#trim('events', 'id', EVENTS_KEPT);
  }

  onEvent(listener: (event: EventRecord) => void): void {
    this.#eventListeners.push(listener);
  }

  /** Newest first; `since` is an event id that the reader has already seen. */
  events(filter: { clusterId?: string; since?: number; limit: number }): EventRecord[] {
    return this.#statement(
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
    const at = this.#now();
    this.#run('INSERT INTO audit (at, body) VALUES ($at, $body)', {
      at,
      body: JSON.stringify(entry),
    });
    this.#trim('audit', 'id', AUDIT_KEPT);
  }

  audits(limit: number): AuditRecord[] {
    return this.#statement('SELECT id, at, body FROM audit ORDER BY id DESC LIMIT $limit')
      .all({ limit })
      .map((row) => ({
        ...(JSON.parse(String(row['body'])) as Omit<AuditRecord, 'id' | 'at'>),
        id: Number(row['id']),
        at: Number(row['at']),
      }));
  }

  #trim(table: string, key: string, kept: number, extra = ''): void {
    if (++this.#inserts % TRIM_EVERY !== 0) return;
    this.#db.exec(
      `DELETE FROM ${table} WHERE ${key} <= (SELECT max(${key}) FROM ${table}) - ${kept} ${extra}`,
    );
  }

  // --- secrets -----------------------------------------------------------------------------------

  /** The secret of an owner (a database id, or '<database id>/keys'), decrypted; null when none. */
  secret<T>(owner: string): T | null {
    const row = this.#statement('SELECT sealed AS body FROM secrets WHERE owner = $owner').get({
      owner,
    });
    if (row === undefined) return null;
    return JSON.parse(this.#sealer.open(owner, String(row['body']))) as T;
  }

  putSecret(owner: string, value: unknown): void {
    this.#run(
      `INSERT INTO secrets VALUES ($owner, $sealed)
       ON CONFLICT (owner) DO UPDATE SET sealed = excluded.sealed`,
      { owner, sealed: this.#sealer.seal(owner, JSON.stringify(value)) },
    );
  }

  // --- ports ---------------------------------------------------------------------------------------

  ports(): PortClaim[] {
    return this.#statement('SELECT port, owner, purpose FROM ports ORDER BY port')
      .all()
      .map((row) => ({
        port: Number(row['port']),
        owner: String(row['owner']),
        purpose: String(row['purpose']) as PortClaim['purpose'],
      }));
  }

  portOwner(port: number): string | null {
    const row = this.#statement('SELECT owner FROM ports WHERE port = $port').get({ port });
    return row === undefined ? null : String(row['owner']);
  }

  /** Throws when the port is claimed already: the caller looked first, in the same transaction. */
  claimPort(claim: PortClaim): void {
    this.#run('INSERT INTO ports VALUES ($port, $owner, $purpose)', {
      port: claim.port,
      owner: claim.owner,
      purpose: claim.purpose,
    });
  }

  freePorts(owner: string): void {
    this.#run('DELETE FROM ports WHERE owner = $owner', { owner });
  }
}

/** A full disk is a user's problem with a remedy, not an internal error. */
function asControlError(error: unknown): unknown {
  const text = String(error);
  if (text.includes('disk is full') || text.includes('disk I/O error')) {
    return new ControlError(
      'DiskFull',
      507,
      'The data folder has no space left, so nothing was changed. Free some space and try again.',
    );
  }
  return error;
}
