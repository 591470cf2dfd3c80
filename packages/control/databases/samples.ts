/** What each engine last said of its stream, on record: it proves candidates fit (engine rule 3). */
import type { EngineFacts } from '../../engine/contract.ts';
import type { DatabaseRecords } from './database-records.ts';

export class Samples {
  readonly #records: DatabaseRecords;
  /** By instance, with the state of the records then: an idle cache is not read again. */
  readonly #last = new Map<string, { readonly facts: EngineFacts; readonly changes: number }>();

  constructor(records: DatabaseRecords) {
    this.#records = records;
  }

  forget(id: string): void {
    this.#last.delete(id);
  }

  take(id: string, facts: EngineFacts): void {
    const { changes } = this.#records.deps.store;
    const last = this.#last.get(id);
    // Of a replica nothing else is kept; a primary's word counts anew when it becomes its shard's.
    const same = last !== undefined && isSame(last.facts, facts);
    if (same && (facts.role === 'replica' || last.changes === changes)) return;
    if (this.#keep(id, facts)) this.#last.set(id, { facts, changes });
  }

  /** False: it is not to be kept now. */
  #keep(
    id: string,
    { role, replicationId, offset, cluster, syncing, loading }: EngineFacts,
  ): boolean {
    const { store } = this.#records.deps;
    const instance = store.instance(id);
    if (instance === null || instance.phase !== 'running' || syncing || loading) return false;
    if (instance.offset === offset && instance.replicationId === replicationId) return true;
    const shard = this.#records.shard(instance.shard);
    const primary = shard.phase === 'serving' && shard.primary === id && role === 'primary';
    const note = replicationId === instance.replicationId ? 'note' : 'decide';
    store[note](() => {
      store.putInstance({ ...instance, replicationId, offset });
      if (primary) {
        store.putShard({ ...shard, replicationId, offset, configEpoch: cluster?.epoch ?? 0 });
      }
    });
    return true;
  }
}

/** All that is kept of them: other figures move while a stream stands still. */
function isSame(a: EngineFacts, b: EngineFacts): boolean {
  return a.role === b.role && a.replicationId === b.replicationId && a.offset === b.offset;
}
