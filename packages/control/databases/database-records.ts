/** The records of one database, read fresh each time; one that must be there and is not is an error. */
import type {
  ClusterRecord,
  DatabaseRecord,
  EventSeverity,
  InstanceRecord,
  InternalSecrets,
  NewEvent,
  ShardRecord,
} from '../store/records.ts';
import type { ExecutorDeps } from './deps.ts';

export class DatabaseRecords {
  readonly id: string;
  readonly deps: ExecutorDeps;
  #secrets: InternalSecrets | null = null;

  constructor(deps: ExecutorDeps, id: string) {
    this.deps = deps;
    this.id = id;
  }

  database(): DatabaseRecord {
    const record = this.deps.store.databaseById(this.id);
    if (record === null) throw new Error(`database ${this.id} is gone`);
    return record;
  }

  cluster(): ClusterRecord {
    const record = this.deps.store.clusterById(this.database().clusterId);
    if (record === null) throw new Error(`the cluster of database ${this.id} is gone`);
    return record;
  }

  /** What its user calls it; null when it was deleted. */
  name(): string | null {
    const record = this.deps.store.databaseById(this.id);
    return record === null ? null : this.cluster().name;
  }

  shards(): ShardRecord[] {
    return this.deps.store.shards(this.id);
  }

  shard(index: number): ShardRecord {
    const record = this.deps.store.shard(this.id, index);
    if (record === null) throw new Error(`shard ${index} of database ${this.id} is gone`);
    return record;
  }

  instances(): InstanceRecord[] {
    return this.deps.store.instances(this.id);
  }

  instance(id: string): InstanceRecord {
    const record = this.deps.store.instance(id);
    if (record === null) throw new Error(`instance ${id} is gone`);
    return record;
  }

  /** Made with the database and never changed, so opened once: the lease asks every two seconds. */
  secrets(): InternalSecrets {
    if (this.#secrets !== null) return this.#secrets;
    const secrets = this.deps.store.secret<InternalSecrets>(this.id);
    if (secrets === null) throw new Error(`database ${this.id} has no internal passwords`);
    this.#secrets = secrets;
    return secrets;
  }

  /** Adds an event about this database; inside a transaction. */
  event(reason: string, severity: EventSeverity, message: string, about: About = {}): void {
    this.deps.store.addEvent(this.#newEvent(reason, severity, message, about));
  }

  /** An event in a transaction of its own, and only in the log where the disk is full: see `Store.tell`. */
  tell(reason: string, severity: EventSeverity, message: string, about: About = {}): void {
    this.deps.store.tell(this.#newEvent(reason, severity, message, about));
  }

  #newEvent(reason: string, severity: EventSeverity, message: string, about: About): NewEvent {
    return {
      reason,
      severity,
      message,
      clusterId: this.deps.store.databaseById(this.id)?.clusterId ?? null,
      databaseId: this.id,
      shard: about.shard ?? null,
      instance: about.instance ?? null,
      data: about.data ?? {},
    };
  }
}

/** What an event is about, beside its database. */
interface About {
  readonly shard?: number;
  readonly instance?: string;
  readonly data?: Record<string, unknown>;
}
