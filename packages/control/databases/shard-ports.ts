/**
 * Ports of the shards of an `OSSCluster` whose clients come through the endpoint (`shardAccess:
 * relayed`). One a shard, not one a copy: a failover changes nothing for who is connected. Found when
 * the shard is there, and its own for as long as it is, over restarts too; so they are kept with the
 * other claims of the database and need no place in a record.
 */

import type { DatabaseRecord, ShardRecord } from '../store/records.ts';
import { shardsRelayed } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import type { DatabaseRecords } from './database-records.ts';
import { freeShardPort } from './layout.ts';

const PREFIX = 'shard-';

/** By index of the shard. */
export function shardPorts(store: Store, databaseId: string): ReadonlyMap<number, number> {
  const prefix = `${databaseId}/${PREFIX}`;
  const own = store.ports().filter(({ owner }) => owner.startsWith(prefix));
  return new Map(own.map(({ owner, port }) => [Number(owner.slice(prefix.length)), port]));
}

/** Shards that need a port and have none, and ports that nobody needs any more. */
function portChanges(
  database: DatabaseRecord,
  shards: readonly ShardRecord[],
  ports: ReadonlyMap<number, number>,
): { readonly missing: readonly number[]; readonly surplus: readonly number[] } {
  const wanted = shardsRelayed(database.settings)
    ? shards.filter((shard) => shard.phase !== 'leaving').map((shard) => shard.index)
    : [];
  return {
    missing: wanted.filter((index) => !ports.has(index)),
    surplus: [...ports.keys()].filter((index) => !wanted.includes(index)),
  };
}

/** The step that finds and frees them. */
export const SETTLE_PORTS = 'shard ports';

export class ShardPorts {
  readonly #records: DatabaseRecords;
  readonly #settle: (work: () => Promise<void>) => void;
  /** Until looked at once, an earlier process may have left some. */
  #any = true;

  /** `settle`: begins this unless it is under way; asked again when it has ended. */
  constructor(records: DatabaseRecords, settle: (work: () => Promise<void>) => void) {
    this.#records = records;
    this.#settle = settle;
  }

  /** Whether every shard has what it needs; what is missing is looked for. */
  settle(database: DatabaseRecord): boolean {
    const relayed = shardsRelayed(database.settings);
    if (!relayed && !this.#any) return true;
    const ports = shardPorts(this.#records.deps.store, database.id);
    const { missing, surplus } = portChanges(database, this.#records.shards(), ports);
    if (missing.length + surplus.length > 0) {
      this.#settle(async () => {
        this.#free(surplus);
        await this.#find(missing);
      });
    }
    this.#any = relayed || surplus.length > 0;
    return missing.length === 0;
  }

  #free(surplus: readonly number[]): void {
    const { deps, id } = this.#records;
    if (surplus.length === 0) return;
    deps.store.write(() => {
      for (const index of surplus) deps.store.freePorts(ownerOf(id, index));
    });
  }

  async #find(missing: readonly number[]): Promise<void> {
    const { deps, id } = this.#records;
    const { store } = deps;
    for (const index of missing) {
      const port = await freeShardPort(deps);
      store.write(() => {
        const gone = store.databaseById(id) === null || store.portOwner(port) !== null;
        if (!gone) store.claimPort({ port, owner: ownerOf(id, index), purpose: 'shard' });
      });
    }
  }
}

function ownerOf(databaseId: string, index: number): string {
  return `${databaseId}/${PREFIX}${index}`;
}
