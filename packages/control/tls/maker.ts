/** Decides whether a held certificate will do, and makes the next one when it will not. */
import { isDue } from './dates.ts';
import type { Signer } from './issue.ts';
import { issueLeaf } from './issuer.ts';
import { KeyReserve } from './key-reserve.ts';
import { exportKey, makeKeys } from './keys.ts';
import { missingNames } from './names.ts';
import type { Notify, Root } from './root.ts';
import type { Held, Shelf } from './shelf.ts';

export type Kind = 'api' | 'served' | 'engine';

/** What a certificate must be. */
export interface Recipe {
  readonly kind: Kind;
  readonly clusterId: string | null;
  readonly shelf: Shelf;
  /** '' for the API. */
  readonly hostName: string;
  readonly now: number;
  readonly signer: Signer & { readonly certificate: Root['certificate'] };
  /** Follows the leaf in the certificate's file. */
  readonly chainPem: string;
}

export class Maker {
  readonly #reserve = new KeyReserve();
  readonly #names: (hostName: string | null) => readonly string[];
  readonly #notify: Notify;

  constructor(names: (hostName: string | null) => readonly string[], notify: Notify) {
    this.#names = names;
    this.#notify = notify;
  }

  /** Makes RSA keys in the background. */
  prepare(): void {
    this.#reserve.fill();
  }

  /** What is held when it will do, a new generation when not. */
  async hold(
    recipe: Recipe,
    wanted: 'any' | 'ours' = 'any',
  ): Promise<{ held: Held; changed: boolean }> {
    const state = await recipe.shelf.read();
    const wants = this.#names(recipe.hostName === '' ? null : recipe.hostName);
    if (state.kind === 'held') {
      const { held } = state;
      if (held.origin === 'own' && wanted === 'any') return { held, changed: false };
      if (held.origin === 'ours' && this.#willDo(held, recipe, wants)) {
        return { held, changed: false };
      }
    } else if (state.kind === 'damaged') {
      this.#notify({
        code: 'certificate-restored',
        message: `${state.why}; the certificate was made again.`,
        clusterId: recipe.clusterId,
      });
    }
    return { held: await this.#make(recipe, wants), changed: true };
  }

  #willDo(held: Held, recipe: Recipe, wants: readonly string[]): boolean {
    return (
      held.hostName === recipe.hostName &&
      !isDue(held.leaf, recipe.now) &&
      missingNames(wants, held.names).length === 0 &&
      held.chainPem === recipe.chainPem &&
      held.leaf.verify(recipe.signer.certificate.publicKey)
    );
  }

  async #make(recipe: Recipe, names: readonly string[]): Promise<Held> {
    const keys = recipe.kind === 'api' ? await makeKeys('ecdsa') : await this.#reserve.take();
    const leafPem = await issueLeaf({
      names,
      keys,
      signer: recipe.signer,
      use: recipe.kind === 'engine' ? 'peer' : 'server',
      now: recipe.now,
    });
    return recipe.shelf.write({
      certPem: leafPem + recipe.chainPem,
      keyPem: await exportKey(keys),
      origin: 'ours',
      hostName: recipe.hostName,
      names,
    });
  }
}
