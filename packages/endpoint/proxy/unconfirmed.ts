/**
 * What a client has written and no WAIT has answered for (engine rule 8).
 *
 * An engine knows how far the stream of its writes was when it executed the last write of a connection,
 * and WAIT asks whether the replicas are as far. So each lane that carried writes of this client has to
 * be asked. The last one would be enough, if every write wrote something; but a DEL of nothing is no
 * write, and leaves its connection where it was. Lanes are left as soon as nobody need ask there: this
 * client's WAIT was answered, or anybody's (`Owed`).
 *
 * But a lane may be lost before it was asked. To ask another one instead is true only of the same stream,
 * and of what did write; so it is done only where there is nothing better: a primary that was replaced on
 * purpose (its successor had every byte), a shard without replicas. After a failure the stream is another:
 * the new primary confirms what it was sent itself, and may lack what its predecessor had acknowledged.
 * A shard that was removed has none at all, and what its keys' next shard has copied, it does not say.
 *
 * So each debt remembers its shard's lineage, a number that grows with each primary that need not have
 * what the one before had. If it has grown, nobody can answer for these writes any more, whatever was
 * written since. The next WAIT says so, also if an earlier one has answered 0: that was no loss yet. It
 * says it again if asked again, because it is asked about the same writes. With the client's next write
 * that is settled: it has been told, and the WAIT behind that is about what it wrote since, and about
 * other shards.
 */
import type { Owed } from './spare-lanes.ts';

/** As much of a lane as matters here. */
export interface WrittenLane {
  readonly state: 'connecting' | 'ready' | 'closed';
  readonly shard: { readonly lineage: number };
  readonly owed: Owed;
}

interface Debt {
  readonly lineage: number;
  /** By `Owed`: of the last write there. */
  readonly number: number;
  /** A WAIT was answered as it had wished. Asked again, as long as the lane is there. */
  confirmed: boolean;
}

export class Unconfirmed<L extends WrittenLane> {
  /** In the order of the last write. */
  readonly #debts = new Map<L, Debt>();
  readonly #standsIn: (lane: L) => boolean;
  /** Writes that nobody can answer for any more; told: the client knows. */
  #lost: 'none' | 'untold' | 'told' = 'none';

  /** `standsIn`: for what was written on this lane, which is closed, a later one may answer. */
  constructor(standsIn: (lane: L) => boolean) {
    this.#standsIn = standsIn;
  }

  /** The first write on this lane since another one, or since the lane was last asked. */
  wrote(lane: L): void {
    if (this.#lost === 'told') this.#lost = 'none';
    const { shard, owed } = lane;
    for (const [other, debt] of this.#debts) {
      if (other.shard !== shard) continue;
      const same = debt.lineage === shard.lineage;
      if (same && other !== lane && !settled(other, debt)) continue;
      this.#drop(other, debt, same);
    }
    this.#debts.set(lane, { lineage: shard.lineage, number: owed.wrote(), confirmed: false });
  }

  /** Lanes to ask, none if nothing was written; null: the client is told now that writes were lost. */
  ask(): L[] | null {
    const asked: L[] = [];
    for (const [lane, debt] of this.#debts) {
      const same = debt.lineage === lane.shard.lineage;
      const others = [...this.#debts].filter(
        ([other]) => other !== lane && other.shard === lane.shard && other.state === 'ready',
      );
      const open =
        same &&
        (settled(lane, debt)
          ? lane.state === 'ready' && others.length === 0
          : lane.state === 'ready' || others.length === 0 || !this.#standsIn(lane));
      if (open) asked.push(lane);
      else this.#drop(lane, debt, same);
    }
    if (this.#lost === 'none') return asked;
    this.#lost = 'told';
    return null;
  }

  confirmed(lane: L): void {
    const debt = this.#debts.get(lane);
    if (debt === undefined || settled(lane, debt)) return;
    debt.confirmed = true;
    lane.owed.settled(debt.number);
  }

  /** It was asked, and cannot answer; the client is told. */
  lost(lane: L): void {
    const debt = this.#debts.get(lane);
    if (debt !== undefined) this.#drop(lane, debt, true);
    this.#lost = 'told';
  }

  /** Nobody will ask. */
  clear(): void {
    for (const [lane, debt] of this.#debts) this.#drop(lane, debt, true);
  }

  #drop(lane: L, debt: Debt, same: boolean): void {
    this.#debts.delete(lane);
    if (settled(lane, debt)) return;
    lane.owed.settled(debt.number);
    if (!same) this.#lost = 'untold';
  }
}

function settled({ owed }: WrittenLane, { confirmed, number }: Debt): boolean {
  return confirmed || owed.proven(number);
}
