/**
 * What a client has written and no WAIT has answered for (engine rule 8).
 *
 * The question goes on the lane of its last write to each shard: that covers its earlier ones there,
 * because an engine counts all that it wrote in one stream. But a lane may be lost before it was asked.
 * To ask the next one instead is true only of the same stream: a spare lane, a lane in place of one that
 * was closed, a successor that had every byte (a planned switch). After a failure the stream is another:
 * the new primary confirms what it was sent itself, and may lack what its predecessor had acknowledged.
 * A shard that was removed has none at all, and what its keys' next shard has copied, it does not say.
 *
 * So each debt remembers its shard's lineage, a number that grows with each primary that need not have
 * what the one before had. If it has grown, nobody can answer for these writes any more, whatever was
 * written since. The next WAIT says so; and says it again if asked again, because it is asked about the
 * same writes. With the client's next write that is settled: it has been told, and the WAIT behind that is
 * about what it wrote since, and about other shards.
 */
import { owe } from './spare-lanes.ts';

/** As much of a lane as matters here. */
export interface WrittenLane {
  readonly state: 'connecting' | 'ready' | 'closed';
  readonly shard: { readonly lineage: number };
}

interface Debt<L> {
  readonly lane: L;
  readonly lineage: number;
  /** A WAIT was answered as it had wished. Asked again, as long as the lane is there. */
  confirmed: boolean;
}

export class Unconfirmed<L extends WrittenLane> {
  readonly #debts = new Map<L['shard'], Debt<L>>();
  /** Writes that nobody can answer for any more; told: the client knows. */
  #lost: 'none' | 'untold' | 'told' = 'none';

  wrote(lane: L): void {
    if (this.#lost === 'told') this.#lost = 'none';
    const { shard } = lane;
    const before = this.#debts.get(shard);
    if (before !== undefined && !before.confirmed) {
      const same = before.lineage === shard.lineage;
      if (same && before.lane === lane) return;
      if (!same) this.#lost = 'untold';
      owe(before.lane, -1);
    }
    this.#debts.set(shard, { lane, lineage: shard.lineage, confirmed: false });
    owe(lane, 1);
  }

  /** Lanes to ask, none if nothing was written; null: the client is told now that writes were lost. */
  ask(): L[] | null {
    for (const [shard, { lane, lineage, confirmed }] of this.#debts) {
      const same = lineage === shard.lineage;
      if (confirmed ? same && lane.state === 'ready' : same) continue;
      this.#drop(shard);
      if (!confirmed) this.#lost = 'untold';
    }
    if (this.#lost === 'none') return [...this.#debts.values()].map(({ lane }) => lane);
    this.#lost = 'told';
    return null;
  }

  confirmed(lane: L): void {
    const debt = this.#debts.get(lane.shard);
    if (debt?.lane !== lane || debt.confirmed) return;
    debt.confirmed = true;
    owe(lane, -1);
  }

  /** It was asked, and cannot answer; the client is told. */
  lost(lane: L): void {
    this.#drop(lane.shard);
    this.#lost = 'told';
  }

  /** Nobody will ask. */
  clear(): void {
    for (const shard of this.#debts.keys()) this.#drop(shard);
  }

  #drop(shard: L['shard']): void {
    const debt = this.#debts.get(shard);
    if (debt?.confirmed === false) owe(debt.lane, -1);
    this.#debts.delete(shard);
  }
}
