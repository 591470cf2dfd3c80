/**
 * While two versions of the engine run in a shard: whether a replica asks for a whole copy again and
 * again. It does so when it cannot read what its primary holds (60 copies in 6 s were seen, for ever):
 * it stays connected, its primary forks without end, and nothing else says so. A new process needs one
 * copy; the second is said, the third ends the maintenance that is under way (engine rule 10).
 */
import type { View } from '../plan/model.ts';
import type { ShardRecord, StateReason } from '../store/records.ts';
import { SYNCS_EVERY_MS, SYNCS_WITHIN_MS, VERB_DEADLINE_MS } from './limits.ts';
import type { DatabaseLoop } from './loop.ts';
import { failOperation } from './progress.ts';

/** Copies that a shard's primary gave away beyond those that new processes of replicas explain. */
export class CopyCount {
  #primary = 0;
  #explained = 0;
  #since = 0;
  #replicas: ReadonlySet<number> = new Set();

  /** Process ids, what the primary counts since it started, and the time. */
  beyond(primary: number, replicas: readonly number[], copies: number, now: number): number {
    const fresh = replicas.filter((pid) => !this.#replicas.has(pid)).length;
    this.#replicas = new Set(replicas);
    if (primary !== this.#primary || now - this.#since > SYNCS_WITHIN_MS) {
      this.#primary = primary;
      this.#since = now;
      // Those that are there may be having theirs just now.
      this.#explained = copies + replicas.length;
    } else if (fresh > 0) this.#explained = Math.max(this.#explained, copies) + fresh;
    return Math.max(0, copies - this.#explained);
  }
}

interface Watched {
  readonly count: CopyCount;
  askedAt: number;
  told: boolean;
}

const watched = new WeakMap<DatabaseLoop, Map<number, Watched>>();

/** Called at each turn; asks only in a shard of two versions, and now and then. */
export function watchCopies(loop: DatabaseLoop, view: View): void {
  const shards = watched.get(loop) ?? new Map<number, Watched>();
  watched.set(loop, shards);
  for (const shard of view.shards) {
    const members = view.instances.filter(
      (each) => each.shard === shard.index && each.phase === 'running',
    );
    if (shard.phase !== 'serving' || new Set(members.map((each) => each.engine)).size < 2) {
      shards.delete(shard.index);
      continue;
    }
    const of = shards.get(shard.index) ?? { count: new CopyCount(), askedAt: 0, told: false };
    shards.set(shard.index, of);
    if (view.now - of.askedAt < SYNCS_EVERY_MS) continue;
    of.askedAt = view.now;
    loop.once(`copies ${shard.index}`, () => look(loop, shard, of));
  }
}

async function look(loop: DatabaseLoop, { index, primary }: ShardRecord, of: Watched) {
  const members = loop.instances().filter((each) => each.shard === index);
  const pidOf = (id: string | null) => members.find((each) => each.id === id)?.process?.pid ?? 0;
  let info: string;
  try {
    const { link } = loop.watch(primary ?? '');
    info = String(await link.command(['INFO', 'stats'], VERB_DEADLINE_MS));
  } catch {
    return; // It does not answer now: what that means is not asked here.
  }
  const copies = Number(/^sync_full:(\d+)/m.exec(info)?.[1] ?? 0);
  const replicas = members.filter((each) => each.id !== primary).map((each) => pidOf(each.id));
  const now = loop.deps.clock.ticks();
  const beyond = of.count.beyond(pidOf(primary), replicas, copies, now);
  if (beyond === 0) return;
  const engines = [...new Set(members.map((each) => each.engine))].join(' and ');
  const reason: StateReason = {
    code: 'full-syncs-repeat',
    message: `Shard ${index} runs ${engines}, and its replica asked for a whole copy ${beyond + 1} times: mostly the older engine cannot read what the newer one holds (fields with a time to live; its engine.log says what). Remove that, or go on with the newer engine.`,
  };
  loop.deps.store.write(() => {
    if (!of.told) loop.event(reason.code, 'warning', reason.message, { shard: index });
    of.told = true;
    const operation = loop.database().maintenance?.operation;
    if (beyond > 1 && operation !== undefined) failOperation(loop, operation, reason);
  });
}
