/**
 * RSA keys made in advance. Making one takes 60 to 160 ms of a thread; a user who creates a cache
 * should not wait for two of them. They are made by the thread pool, one at a time, and are held in
 * memory only.
 */
import { type CryptoKeyPair, makeKeys } from './keys.ts';
import { KEYS_AHEAD } from './limits.ts';

export class KeyReserve {
  readonly #ready: CryptoKeyPair[] = [];
  #making: Promise<void> | null = null;

  /** Begins to make keys; without it the first `take` does. */
  fill(): void {
    if (this.#making !== null || this.#ready.length >= KEYS_AHEAD) return;
    this.#making = makeKeys('rsa')
      .then(
        (keys) => {
          this.#ready.push(keys);
        },
        // The caller that needs a key makes its own and sees the error there.
        () => undefined,
      )
      .then(() => {
        this.#making = null;
        if (this.#ready.length > 0) this.fill();
      });
  }

  /** A key that nobody else gets. Waits for one that is being made; makes its own when none is. */
  async take(): Promise<CryptoKeyPair> {
    if (this.#ready.length === 0 && this.#making !== null) await this.#making;
    const keys = this.#ready.shift() ?? (await makeKeys('rsa'));
    this.fill();
    return keys;
  }

  /** Keys that can be taken without waiting. */
  get ready(): number {
    return this.#ready.length;
  }
}
