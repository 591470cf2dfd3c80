/**
 * What a client has written and no WAIT has answered for (engine rule 8).
 *
 * An engine knows how far the stream of its writes was when it executed the last write of a connection,
 * and WAIT asks whether the replicas are as far. So each lane that carried writes of this client has to
 * be asked. The last one would be enough, if every write wrote something; but a DEL of nothing is no
 * write, and leaves its connection where it was. Lanes are left as soon as nobody need ask there: this
 * client's WAIT was answered, or anybody's (`Owed`).
 *
 * That alone goes wrong while a replica is away. Every WAIT ends with its time, its debts stay, and the
 * next one has to stand in all those lanes; others take new ones, write there, and owe there. Eight clients
 * that ask again and again own a hundred lanes in seconds, and a lane that was closed, because there are
 * too many or because its connection broke, can be asked no more. But any place in the stream that is not
 * before a write will do for it, and the engine tells the present one (INFO). So where a lane cannot be
 * asked, or was asked once in vain and another can be, its debt becomes `Earlier`: a place in the stream,
 * read once, which replicas have confirmed or not (standing.ts). One for each shard is enough: the later
 * place. One lane is still asked with WAIT, because that makes the engine ask its replicas.
 *
 * After a planned switch none of this is needed: the successor had every byte. After a failure the stream
 * is another: the new primary confirms what it was sent itself, and may lack what its predecessor had
 * acknowledged. A shard that was removed has none at all, and what its keys' next shard has copied, it does
 * not say.
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
  /** A WAIT of this client was about it. */
  asked: boolean;
  /** A WAIT was answered as it had wished. Asked again, as long as the lane is there. */
  confirmed: boolean;
}

/** A place in the stream of a primary's writes: bytes since its beginning, and whose stream. */
export interface Place {
  readonly stream: string;
  readonly offset: number;
}

/** Writes on lanes of this shard that are not asked one by one any more. */
export interface Earlier<S> {
  readonly shard: S;
  readonly lineage: number;
  /** None of them is behind this place. null: not read yet. */
  place: Place | null;
}

/** Whom a WAIT is to ask. */
export interface Asked<L extends WrittenLane> {
  readonly lanes: L[];
  readonly earlier: Earlier<L['shard']>[];
}

export class Unconfirmed<L extends WrittenLane> {
  /** In the order of the last write. */
  readonly #debts = new Map<L, Debt>();
  readonly #earlier = new Map<L['shard'], Earlier<L['shard']>>();
  readonly #standsIn: (lane: L, exact: boolean) => boolean;
  /** Writes that nobody can answer for any more; told: the client knows. */
  #lost: 'none' | 'untold' | 'told' = 'none';

  /** `standsIn`: for what was written on this lane, which is closed, a later one may answer. */
  constructor(standsIn: (lane: L, exact: boolean) => boolean) {
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
    this.#outlived(shard);
    const number = owed.wrote();
    this.#debts.set(lane, { lineage: shard.lineage, number, asked: false, confirmed: false });
  }

  /**
   * null: the client is told now that writes were lost. `exact`: lanes only, as long as they are there,
   * because a place in the stream does not tell what is asked for (WAITAOF).
   */
  ask(exact = false): Asked<L> | null {
    const lanes: L[] = [];
    for (const shard of [...this.#earlier.keys()]) this.#outlived(shard);
    for (const [lane, debt] of this.#debts) {
      const same = debt.lineage === lane.shard.lineage;
      if (!same || this.#answeredElsewhere(lane, debt, exact)) this.#drop(lane, debt, same);
      else if (this.#early(lane, debt, exact)) this.#makeEarlier(lane, debt);
      else lanes.push(lane);
    }
    if (this.#lost !== 'none') {
      this.#lost = 'told';
      return null;
    }
    for (const lane of lanes) {
      const debt = this.#debts.get(lane);
      if (debt !== undefined) debt.asked = true;
    }
    return { lanes, earlier: [...this.#earlier.values()] };
  }

  /** Another lane of the same shard can be asked; `behind`: one that was written to later. */
  #other(lane: L, behind = false): boolean {
    let counts = !behind;
    for (const each of this.#debts.keys()) {
      if (each === lane) counts = true;
      else if (counts && each.shard === lane.shard && each.state === 'ready') return true;
    }
    return false;
  }

  #answeredElsewhere(lane: L, debt: Debt, exact: boolean): boolean {
    const others = this.#other(lane);
    if (settled(lane, debt)) return lane.state !== 'ready' || others;
    return lane.state !== 'ready' && others && this.#standsIn(lane, exact);
  }

  #early(lane: L, debt: Debt, exact: boolean): boolean {
    if (exact || settled(lane, debt)) return false;
    if (lane.state !== 'ready') return !this.#standsIn(lane, exact);
    return debt.asked && this.#other(lane, true);
  }

  #makeEarlier(lane: L, debt: Debt): Earlier<L['shard']> {
    const { shard } = lane;
    this.#drop(lane, debt, true);
    const earlier = { shard, lineage: shard.lineage, place: null };
    this.#earlier.set(shard, earlier);
    return earlier;
  }

  /** Another stream took the place of the one that it is about. */
  #outlived(shard: L['shard']): void {
    const earlier = this.#earlier.get(shard);
    if (earlier === undefined || earlier.lineage === shard.lineage) return;
    this.#earlier.delete(shard);
    this.#lost = 'untold';
  }

  earlierConfirmed(earlier: Earlier<L['shard']>): void {
    if (this.#earlier.get(earlier.shard) === earlier) this.#earlier.delete(earlier.shard);
  }

  /** As `lost`. */
  earlierLost(earlier: Earlier<L['shard']>): void {
    this.earlierConfirmed(earlier);
    this.#lost = 'told';
  }

  confirmed(lane: L): void {
    const debt = this.#debts.get(lane);
    if (debt === undefined || settled(lane, debt)) return;
    debt.confirmed = true;
    lane.owed.settled(debt.number);
  }

  /** It was asked, and cannot answer: what can be asked instead; null: nothing. */
  instead(lane: L): Earlier<L['shard']> | null {
    const debt = this.#debts.get(lane);
    if (debt?.lineage !== lane.shard.lineage) return null;
    return this.#makeEarlier(lane, debt);
  }

  /** Nothing can answer; the client is told. */
  lost(lane: L): void {
    const debt = this.#debts.get(lane);
    if (debt !== undefined) this.#drop(lane, debt, true);
    this.#lost = 'told';
  }

  /** Nobody will ask. */
  clear(): void {
    for (const [lane, debt] of this.#debts) this.#drop(lane, debt, true);
    this.#earlier.clear();
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
