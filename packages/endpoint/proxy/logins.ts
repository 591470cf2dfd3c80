/**
 * AUTH: the key is checked here, against hashes, in constant time. A failed login is answered late,
 * and later with each one from that address, so that guessing costs time; nobody else is delayed.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { UserView } from '../control-protocol.ts';
import { LOGIN_ADDRESSES, LOGIN_DELAY_MAX_MS, LOGIN_DELAY_MS, LOGIN_FORGET_MS } from './limits.ts';
import type { ProxyPath } from './proxy.ts';
import type { Session } from './session.ts';

export const WRONG_PASSWORD = '-WRONGPASS invalid username-password pair or user is disabled.\r\n';

interface Failures {
  count: number;
  lastAt: number;
}

export class Logins {
  readonly #proxy: ProxyPath;
  readonly #failures = new Map<string, Failures>();

  constructor(proxy: ProxyPath) {
    this.#proxy = proxy;
  }

  /** The user with this name and key, and the hash that matched; null when there is none. */
  check(name: string, key: Buffer): { user: UserView; hash: string } | null {
    const given = createHash('sha256').update(key).digest();
    const user = this.#proxy.view.users.find((candidate) => candidate.name === name);
    let matched: string | null = null;
    // All hashes are looked at, and an unknown user costs as much as a known one.
    for (const hash of user?.secretHashes ?? ['0'.repeat(64)]) {
      const expected = Buffer.from(hash, 'hex');
      if (expected.length === given.length && timingSafeEqual(expected, given)) matched = hash;
    }
    return user === undefined || matched === null ? null : { user, hash: matched };
  }

  /** Notes a failed login; answers for how many milliseconds its reply is held back. */
  failed(session: Session, user: string): number {
    const address = hostOf(session.client.address);
    const count = this.note(address);
    this.#proxy.across.tell({ kind: 'login-failed', host: address });
    const { host } = this.#proxy.world;
    host.emit({
      type: 'event',
      at: host.now(),
      kind: 'login-failed',
      database: this.#proxy.view.id,
      client: session.id,
      user: this.#isKey(user) ? '(redacted)' : user.slice(0, 64),
      reason: 'wrong-user-or-key',
    });
    return Math.min(LOGIN_DELAY_MAX_MS, LOGIN_DELAY_MS * 2 ** Math.min(10, count - 1));
  }

  /** Somebody has said name and key in the wrong order: keys are never told. */
  #isKey(name: string): boolean {
    const hash = createHash('sha256').update(name).digest('hex');
    return this.#proxy.view.users.some(({ secretHashes }) => secretHashes.includes(hash));
  }

  succeeded(session: Session): void {
    const address = hostOf(session.client.address);
    if (!this.#failures.has(address)) return;
    this.forgive(address);
    this.#proxy.across.tell({ kind: 'login-succeeded', host: address });
  }

  /** One more failure of this address, here or in another worker; answers how many there were. */
  note(address: string): number {
    const now = performance.now();
    const failures = this.#failures.get(address) ?? { count: 0, lastAt: now };
    failures.count++;
    failures.lastAt = now;
    this.#failures.delete(address);
    this.#failures.set(address, failures);
    if (this.#failures.size > LOGIN_ADDRESSES) {
      const [oldest] = this.#failures.keys();
      if (oldest !== undefined) this.#failures.delete(oldest);
    }
    return failures.count;
  }

  forgive(address: string): void {
    this.#failures.delete(address);
  }

  sweep(): void {
    const now = performance.now();
    for (const [address, failures] of this.#failures) {
      if (now - failures.lastAt > LOGIN_FORGET_MS) this.#failures.delete(address);
    }
  }
}

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':'));
}
