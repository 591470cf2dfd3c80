/**
 * What a client has written and no WAIT has answered for (engine rule 8).
 *
 * The question goes on the lane of its last write to each shard: that covers its earlier ones there,
 * because an engine counts all that it wrote in one stream. (It counts what a connection did write: a
 * DEL of nothing is no write. So the lane of a large value is asked besides the lane of small ones.) But a lane may be lost before it was asked.
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
  readonly kind: 'small' | 'bulk' | 'own';
  readonly state: 'connecting' | 'ready' | 'closed';
  readonly shard: { readonly lineage: number };
}

interface Debt<L> {
  readonly lane: L;
  readonly lineage: number;
  /** The last write's place among all of this client. */
  at: number;
  /** A WAIT was answered as it had wished. Asked again, as long as the lane is there. */
  confirmed: boolean;
}

type Debts<L extends WrittenLane> = Map<L['shard'], Debt<L>>;

export class Unconfirmed<L extends WrittenLane> {
  readonly #small: Debts<L> = new Map();
  /** On lanes that were bulk ones when it was written. */
  readonly #bulk: Debts<L> = new Map();
  /** Writes that nobody can answer for any more; told: the client knows. */
  #lost: 'none' | 'untold' | 'told' = 'none';
  #writes = 0;

  wrote(lane: L): void {
    if (this.#lost === 'told') this.#lost = 'none';
    const { shard } = lane;
    const debts = lane.kind === 'bulk' ? this.#bulk : this.#small;
    const before = debts.get(shard);
    const at = ++this.#writes;
    if (before !== undefined && !before.confirmed) {
      const same = before.lineage === shard.lineage;
      if (same && before.lane === lane) {
        before.at = at;
        return;
      }
      if (!same) this.#lost = 'untold';
      owe(before.lane, -1);
    }
    debts.set(shard, { lane, lineage: shard.lineage, at, confirmed: false });
    owe(lane, 1);
  }

  /** Lanes to ask, none if nothing was written; null: the client is told now that writes were lost. */
  ask(): L[] | null {
    const asked = new Set<L>();
    for (const [debts, debt] of this.#all()) {
      const { lane, lineage, confirmed } = debt;
      const same = lineage === lane.shard.lineage;
      if (same && (lane.state === 'ready' || !(confirmed || this.#covered(debt)))) asked.add(lane);
      else drop(debts, debt);
      if (!same && !confirmed) this.#lost = 'untold';
    }
    if (this.#lost === 'none') return [...asked];
    this.#lost = 'told';
    return null;
  }

  /** Its lane was closed though the engine lives: one that was written on later answers for it. */
  #covered({ lane: { shard }, at }: Debt<L>): boolean {
    return [this.#small.get(shard), this.#bulk.get(shard)].some(
      (other) => other !== undefined && other.at > at && other.lane.state === 'ready',
    );
  }

  confirmed(lane: L): void {
    for (const [, debt] of this.#all()) {
      if (debt.lane !== lane || debt.confirmed) continue;
      debt.confirmed = true;
      owe(lane, -1);
    }
  }

  /** It was asked, and cannot answer; the client is told. */
  lost(lane: L): void {
    for (const [debts, debt] of this.#all()) if (debt.lane === lane) drop(debts, debt);
    this.#lost = 'told';
  }

  /** Nobody will ask. */
  clear(): void {
    for (const [debts, debt] of this.#all()) drop(debts, debt);
  }

  /** Each with where it is kept. */
  #all(): [Debts<L>, Debt<L>][] {
    return [this.#small, this.#bulk].flatMap((debts) =>
      [...debts.values()].map((debt): [Debts<L>, Debt<L>] => [debts, debt]),
    );
  }
}

function drop<L extends WrittenLane>(debts: Debts<L>, { lane, confirmed }: Debt<L>): void {
  if (!confirmed) owe(lane, -1);
  debts.delete(lane.shard);
}
