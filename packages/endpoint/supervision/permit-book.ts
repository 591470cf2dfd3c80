/**
 * The connection limit of a database over all its workers.
 *
 * A limit for each worker alone is wrong in one direction or the other: the kernel spreads
 * connections by a hash, so with 10 connections allowed and two workers the sixth may be refused.
 * So permits are counted here, once. A worker asks for some, uses them without asking, and gives
 * them back when it has many spare ones, or when they are recalled because another one has none:
 * a connection is refused only when all permits are in use. The sum of what was granted and not
 * returned never passes the limit (except while a lowered limit waits for connections to end).
 *
 * Pure bookkeeping; who sends what is the caller's business.
 */
export interface PermitPort {
  grant(worker: number, database: string, count: number): void;
  recall(worker: number, database: string): void;
}

interface Wish {
  readonly number: number;
  readonly worker: number;
  count: number;
  /** Workers that have not answered the recall made for this wish. */
  readonly waitingFor: Set<number>;
}

interface Account {
  limit: number;
  readonly granted: Map<number, number>;
  readonly wishes: Wish[];
}

export class PermitBook {
  readonly #port: PermitPort;
  readonly #accounts = new Map<string, Account>();
  #wishes = 0;

  constructor(port: PermitPort) {
    this.#port = port;
  }

  /** Databases that are not named any more are forgotten. */
  limits(limits: ReadonlyMap<string, number>): void {
    for (const database of this.#accounts.keys()) {
      if (!limits.has(database)) this.#accounts.delete(database);
    }
    for (const [database, limit] of limits) {
      const account = this.#accounts.get(database);
      if (account === undefined) {
        this.#accounts.set(database, { limit, granted: new Map(), wishes: [] });
        continue;
      }
      account.limit = limit;
      if (this.#free(account) < 0) {
        for (const worker of account.granted.keys()) this.#port.recall(worker, database);
      }
      this.#settle(database, account);
    }
  }

  /** Answered by exactly one grant, perhaps of zero. Answers the number of the wish, for `stopWaiting`. */
  want(worker: number, database: string, count: number, others: Iterable<number>): number {
    const number = ++this.#wishes;
    const account = this.#accounts.get(database);
    if (account === undefined) {
      this.#port.grant(worker, database, 0);
      return number;
    }
    const wish: Wish = { number, worker, count, waitingFor: new Set() };
    account.wishes.push(wish);
    if (this.#free(account) <= 0) {
      for (const other of others) {
        if (other !== worker && (account.granted.get(other) ?? 0) > 0) wish.waitingFor.add(other);
      }
      for (const other of wish.waitingFor) this.#port.recall(other, database);
    }
    this.#settle(database, account);
    return number;
  }

  giveBack(worker: number, database: string, count: number, answer: boolean): void {
    const account = this.#accounts.get(database);
    if (account === undefined) return;
    const had = account.granted.get(worker) ?? 0;
    account.granted.set(worker, Math.max(0, had - count));
    if (answer) for (const wish of account.wishes) wish.waitingFor.delete(worker);
    this.#settle(database, account);
  }

  /** A worker is gone, and all its connections with it. */
  gone(worker: number): void {
    for (const [database, account] of this.#accounts) {
      account.granted.delete(worker);
      this.#remove(account, (wish) => wish.worker === worker);
      for (const wish of account.wishes) wish.waitingFor.delete(worker);
      this.#settle(database, account);
    }
  }

  /** A recall took too long: this wish gets what there is. A later one of the same worker waits for its own. */
  stopWaiting(database: string, number: number): void {
    const account = this.#accounts.get(database);
    if (account === undefined) return;
    for (const wish of account.wishes) if (wish.number === number) wish.waitingFor.clear();
    this.#settle(database, account);
  }

  granted(database: string): number {
    const account = this.#accounts.get(database);
    return account === undefined ? 0 : sum(account);
  }

  #free(account: Account): number {
    return account.limit - sum(account);
  }

  #settle(database: string, account: Account): void {
    for (const wish of [...account.wishes]) {
      const free = this.#free(account);
      if (free <= 0 && wish.waitingFor.size > 0) continue;
      const count = Math.max(0, Math.min(wish.count, free));
      this.#remove(account, (other) => other === wish);
      account.granted.set(wish.worker, (account.granted.get(wish.worker) ?? 0) + count);
      this.#port.grant(wish.worker, database, count);
    }
  }

  #remove(account: Account, which: (wish: Wish) => boolean): void {
    for (let i = account.wishes.length - 1; i >= 0; i -= 1) {
      const wish = account.wishes[i];
      if (wish !== undefined && which(wish)) account.wishes.splice(i, 1);
    }
  }
}

function sum(account: Account): number {
  let total = 0;
  for (const count of account.granted.values()) total += count;
  return total;
}
