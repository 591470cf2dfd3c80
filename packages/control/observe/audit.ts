/**
 * Who connects to the shards of an `OSSCluster` database. Nobody is in between, and an engine keeps no
 * record of connections; so each engine is asked from time to time who is connected, and what has
 * changed since the last time goes to the log, in the words of the endpoint's own entries. What comes
 * and goes between two looks is not seen: each entry says that it is a sample.
 *
 * A long list is compared by the numbers of its connections, which an engine never gives twice; only
 * lines that are new are read. An engine that does not answer may only be busy: its clients are taken
 * for gone after some looks in a row.
 */
import { shardsDirect } from '../store/records.ts';
import { clientsOf, type EngineClient } from './engine-stats.ts';
import { AUDIT_MISSES, AUDIT_MS, ENGINE_DEADLINE_MS } from './limits.ts';
import type { ObserveDeps } from './observe.ts';

export interface AuditEntry {
  readonly kind: 'opened' | 'closed';
  readonly sampled: true;
  readonly database: string;
  readonly instance: string;
  readonly client: string;
  readonly address: string;
  readonly user: string;
}

export interface AuditDeps extends Pick<ObserveDeps, 'databases' | 'askEngines' | 'now'> {
  write(entry: AuditEntry): void;
}

/** Of one engine process. */
interface Seen {
  readonly database: string;
  readonly instance: string;
  /** By CLIENT ID; null: a connection of ours, or a replica's. */
  readonly clients: ReadonlyMap<string, EngineClient | null>;
  /** Looks in a row without an answer. */
  misses: number;
}

const NOBODY: ReadonlyMap<string, EngineClient | null> = new Map();

export class ConnectionAudit {
  readonly #deps: AuditDeps;
  /** By instance and process: a new process counts its clients anew. */
  readonly #seen = new Map<string, Seen>();
  #timer: NodeJS.Timeout | null = null;

  constructor(deps: AuditDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#timer = setTimeout(() => {
      void this.look().finally(() => {
        if (this.#timer !== null) this.start();
      });
    }, AUDIT_MS);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Never rejects: an engine that does not answer is left out. */
  async look(): Promise<void> {
    const answered = new Set<string>();
    for (const { database } of this.#deps.databases()) {
      if (!shardsDirect(database.settings)) continue;
      const answers = await this.#deps.askEngines(database.id, (link) =>
        link.command(['CLIENT', 'LIST'], ENGINE_DEADLINE_MS),
      );
      for (const { instance, result } of answers) {
        const key = `${instance.id} ${instance.process?.pid ?? 0}`;
        answered.add(key);
        this.#compare(key, database.id, instance.id, String(result));
      }
    }
    for (const [key, seen] of this.#seen) {
      if (answered.has(key) || ++seen.misses < AUDIT_MISSES) continue;
      this.#seen.delete(key);
      this.#closed(seen, NOBODY);
    }
  }

  #compare(key: string, database: string, instance: string, list: string): void {
    const before = this.#seen.get(key);
    const clients = new Map<string, EngineClient | null>();
    for (const line of list.split('\n')) {
      const number = line.slice('id='.length, line.indexOf(' '));
      if (number === '') continue;
      const known = before?.clients.get(number);
      if (known !== undefined) {
        clients.set(number, known);
        continue;
      }
      const [client = null] = clientsOf(database, instance.slice(0, 8), line, this.#deps.now());
      clients.set(number, client);
      if (client !== null) this.#write('opened', database, instance, client);
    }
    if (before !== undefined) this.#closed(before, clients);
    this.#seen.set(key, { database, instance, clients, misses: 0 });
  }

  #closed({ database, instance, clients }: Seen, now: Seen['clients']): void {
    for (const [number, client] of clients) {
      if (client !== null && !now.has(number)) this.#write('closed', database, instance, client);
    }
  }

  #write(
    kind: AuditEntry['kind'],
    database: string,
    instance: string,
    { id: client, address, user }: EngineClient,
  ): void {
    this.#deps.write({ kind, sampled: true, database, instance, client, address, user });
  }
}
