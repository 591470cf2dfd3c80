/**
 * What the endpoint should be told of each database now. Asked at every turn of every loop, and made
 * of keys that have to be decrypted: so it is kept for as long as no record and no certificate changed.
 */
import type { DatabaseView } from '../../endpoint/control-protocol.ts';
import { endpointUsers, serviceUser } from '../auth/users.ts';
import { shardsRelayed } from '../store/records.ts';
import type { ServedCertificate } from '../tls/contract.ts';
import { DatabaseRecords } from './database-records.ts';
import type { ExecutorDeps } from './deps.ts';
import type { ManagerDeps } from './manager.ts';
import { newerView } from './newer.ts';
import { shardPorts } from './shard-ports.ts';
import { databaseUsers } from './users.ts';
import { viewOf } from './view.ts';

type ViewDeps = Pick<ManagerDeps, 'store' | 'hosts' | 'hostName' | 'served'>;

const NONE: ReadonlyMap<number, number> = new Map();

interface Kept {
  /** Of the store, when it was made. */
  readonly changes: number;
  readonly view: DatabaseView | null;
}

export interface ViewsHost {
  /** Until now nobody could say whether this database is served as recorded. */
  loaded(databaseId: string): void;
  /** Ports of its shards that cannot be listened on now. */
  unheld(databaseId: string): ReadonlyMap<number, unknown>;
}

export class Views {
  readonly #deps: ViewDeps;
  readonly #executor: ExecutorDeps;
  readonly #host: ViewsHost;
  /** By cluster. */
  readonly #certificates = new Map<string, ServedCertificate>();
  readonly #kept = new Map<string, Kept>();

  constructor(deps: ViewDeps, executor: ExecutorDeps, host: ViewsHost) {
    this.#deps = deps;
    this.#executor = executor;
    this.#host = host;
  }

  /** Undefined: its certificate is not loaded yet. The same object while nothing changed. */
  now(id: string): DatabaseView | null | undefined {
    const { changes } = this.#deps.store;
    const kept = this.#kept.get(id);
    if (kept?.changes === changes) return kept.view;
    const view = this.#make(id);
    if (view === undefined) this.#kept.delete(id);
    else this.#kept.set(id, { changes, view });
    return view;
  }

  async load(id: string): Promise<void> {
    const { store } = this.#deps;
    const database = store.databaseById(id);
    const cluster = database === null ? null : store.clusterById(database.clusterId);
    if (cluster !== null && !this.#certificates.has(cluster.id)) {
      this.#certificates.set(cluster.id, await this.#deps.served(cluster));
      this.#kept.delete(id);
      this.#host.loaded(id);
    }
  }

  certificateChanged(databaseId: string, clusterId: string | null): void {
    if (clusterId !== null) this.#certificates.delete(clusterId);
    this.#kept.delete(databaseId);
  }

  forget(databaseId: string): void {
    this.#kept.delete(databaseId);
  }

  #make(id: string): DatabaseView | null | undefined {
    const { store } = this.#deps;
    const database = store.databaseById(id);
    const cluster = database === null ? null : store.clusterById(database.clusterId);
    if (database === null || cluster === null) return null;
    const certificate = this.#certificates.get(cluster.id);
    if (certificate === undefined) return undefined;
    const instances = store.instances(id);
    const users = databaseUsers(new DatabaseRecords(this.#executor, id));
    return viewOf({
      database,
      shards: store.shards(id),
      instances,
      hosts: this.#deps.hosts,
      shardPorts: shardsRelayed(database.settings) ? shardPorts(store, id) : NONE,
      unheld: this.#host.unheld(id),
      hostName: this.#deps.hostName(cluster),
      certificate: {
        certFile: certificate.certFile,
        keyFile: certificate.keyFile,
        generation: certificate.generation,
      },
      users: endpointUsers(users),
      service: serviceUser(users),
      newer: newerView(database, instances, this.#executor.node),
    });
  }
}
