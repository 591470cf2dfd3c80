/**
 * The lowest layer of the store. Synchronous on purpose: a decision and its commit happen in one
 * turn of the event loop, so no other decision can slip in between. Writes happen inside `write`
 * (full durability) or `decide` (see open.ts); leaving either by an exception rolls it back.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { ControlError } from '../errors.ts';
import type { EventRecord, PortClaim } from './records.ts';

/** Encrypts what must not be readable in the file; `owner` is bound to the text. */
export interface Sealer {
  seal(owner: string, text: string): string;
  open(owner: string, sealed: string): string;
}

type Row = Record<string, SQLInputValue>;

/** Transactions, statements, and the tables that are single values. */
export class Tables {
  protected readonly db: DatabaseSync;
  readonly #sealer: Sealer;
  protected readonly now: () => number;
  readonly #statements = new Map<string, StatementSync>();
  readonly #eventListeners: ((event: EventRecord) => void)[] = [];
  #depth = 0;
  #changes = 0;
  #pending: EventRecord[] = [];
  #makeRoom: () => boolean = () => false;

  constructor(db: DatabaseSync, sealer: Sealer, now: () => number) {
    this.db = db;
    this.#sealer = sealer;
    this.now = now;
  }

  /** Grows with every change, and with one that was taken back: what was made from it may be kept as long as it is the same. */
  get changes(): number {
    return this.#changes;
  }

  close(): void {
    this.#statements.clear();
    this.db.close();
  }

  /** Runs `work` in one transaction that survives a power cut once this returns. */
  write<T>(work: () => T): T {
    return this.#transaction(work);
  }

  /**
   * As `write`, but durable only against the death of this process: for promotions, and for what is
   * worth nothing once the engines are gone (who runs, how far an operation is). A flush stops this
   * process for as long as the disk takes, whoever waits for it elsewhere. On a full disk it takes
   * what is held in reserve: who serves has to be recorded, what a user wants may be refused.
   */
  decide<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    this.db.exec('PRAGMA synchronous = NORMAL');
    try {
      return this.#transaction(work);
    } catch (error) {
      if (!isDiskFull(error) || !this.#makeRoom()) throw error;
      return this.#transaction(work);
    } finally {
      this.db.exec('PRAGMA synchronous = FULL');
    }
  }

  /**
   * As `decide`, for figures that move all the time and of which nobody makes anything: what is kept
   * until something changes stays kept.
   */
  note(work: () => void): void {
    const before = this.#changes;
    this.decide(work);
    this.#changes = before;
  }

  #transaction<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    const result = this.#commit(work);
    this.#announce();
    return result;
  }

  #commit<T>(work: () => T): T {
    this.#depth++;
    try {
      this.db.exec('BEGIN IMMEDIATE');
      const result = work();
      this.db.exec('COMMIT');
      return result;
    } catch (error) {
      this.#pending = [];
      // A write that failed (a full disk) has ended the transaction by itself.
      if (this.db.isTransaction) this.db.exec('ROLLBACK');
      this.#changes++;
      throw asControlError(error);
    } finally {
      this.#depth--;
    }
  }

  /** Told to listeners after the commit; forgotten by a rollback. */
  protected announceLater(event: EventRecord): void {
    this.#pending.push(event);
  }

  /** Called when there is no room: whether it made some. */
  onFull(makeRoom: () => boolean): void {
    this.#makeRoom = makeRoom;
  }

  onEvent(listener: (event: EventRecord) => void): void {
    this.#eventListeners.push(listener);
  }

  #announce(): void {
    const events = this.#pending;
    this.#pending = [];
    for (const event of events) this.announce(event);
  }

  protected announce(event: EventRecord): void {
    for (const listener of this.#eventListeners) listener(event);
  }

  protected statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  protected run(sql: string, values: Row): void {
    if (this.#depth === 0) throw new Error(`write outside a transaction: ${sql}`);
    this.#changes++;
    this.statement(sql).run(values);
  }

  protected one<T>(sql: string, values: Row): T | null {
    const row = this.statement(sql).get(values);
    return row === undefined ? null : (JSON.parse(String(row['body'])) as T);
  }

  protected all<T>(sql: string, values: Row = {}): T[] {
    return this.statement(sql)
      .all(values)
      .map((row) => JSON.parse(String(row['body'])) as T);
  }

  // --- single values -----------------------------------------------------------------------

  meta(key: string): string | null {
    const row = this.statement('SELECT value AS body FROM meta WHERE key = $key').get({ key });
    return row === undefined ? null : String(row['body']);
  }

  setMeta(key: string, value: string): void {
    this.run(
      'INSERT INTO meta VALUES ($key, $value) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
      { key, value },
    );
  }

  // --- secrets -----------------------------------------------------------------------------------

  /** The secret of an owner (a database id, or '<database id>/keys'), decrypted; null when none. */
  secret<T>(owner: string): T | null {
    const row = this.statement('SELECT sealed AS body FROM secrets WHERE owner = $owner').get({
      owner,
    });
    if (row === undefined) return null;
    return JSON.parse(this.#sealer.open(owner, String(row['body']))) as T;
  }

  putSecret(owner: string, value: unknown): void {
    this.run(
      `INSERT INTO secrets VALUES ($owner, $sealed)
       ON CONFLICT (owner) DO UPDATE SET sealed = excluded.sealed`,
      { owner, sealed: this.#sealer.seal(owner, JSON.stringify(value)) },
    );
  }

  // --- ports ---------------------------------------------------------------------------------------

  ports(): PortClaim[] {
    return this.statement('SELECT port, owner, purpose FROM ports ORDER BY port')
      .all()
      .map((row) => ({
        port: Number(row['port']),
        owner: String(row['owner']),
        purpose: String(row['purpose']) as PortClaim['purpose'],
      }));
  }

  portOwner(port: number): string | null {
    const row = this.statement('SELECT owner FROM ports WHERE port = $port').get({ port });
    return row === undefined ? null : String(row['owner']);
  }

  /** Throws when the port is claimed already: the caller looked first, in the same transaction. */
  claimPort(claim: PortClaim): void {
    this.run('INSERT INTO ports VALUES ($port, $owner, $purpose)', {
      port: claim.port,
      owner: claim.owner,
      purpose: claim.purpose,
    });
  }

  freePort(port: number): void {
    this.run('DELETE FROM ports WHERE port = $port', { port });
  }

  freePorts(owner: string): void {
    this.run('DELETE FROM ports WHERE owner = $owner', { owner });
  }
}

const DISK_FULL = 'DiskFull';

/** What `write` and `decide` throw where there is no room: it may be tried again. */
export function isDiskFull(error: unknown): boolean {
  return error instanceof ControlError && error.code === DISK_FULL;
}

/** A full disk is a user's problem with a remedy, not an internal error. */
function asControlError(error: unknown): unknown {
  const text = String(error);
  if (text.includes('disk is full') || text.includes('disk I/O error')) {
    return new ControlError(
      DISK_FULL,
      507,
      'The data folder has no space left, so nothing was changed. Free some space and try again.',
    );
  }
  return error;
}
