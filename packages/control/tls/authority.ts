/**
 * The only maker and writer of CAs and certificates.
 *
 *   <home>/tls/ca.pem, ca.key.pem              the installation's root
 *   <home>/tls/api/                            generations of the API's certificate
 *   <home>/tls/caches/<id>/served/             of what the endpoint serves
 *   <home>/tls/caches/<id>/engine/             of the engines' identity
 *   <home>/tls/caches/<id>/ca/                 the cache's internal CA
 *
 * Each `api`, `served` and `engine` looks before it answers: what is missing, damaged, due, lacks a
 * name or came from another CA is made again, under a new generation. So a caller need not know why,
 * and asking twice costs a few file reads.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { EngineTls } from '../../engine/contract.ts';
import { ControlError } from '../errors.ts';
import type { CertificateAuthority, ServedCertificate } from './contract.ts';
import { expiresAt, isDue } from './dates.ts';
import { openInternalCa } from './internal-ca.ts';
import { type Kind, Maker, type Recipe } from './maker.ts';
import { certificateNames } from './names.ts';
import { checkOwn, type OwnPair } from './own.ts';
import { type Notice, type Notify, openRoot, type Root } from './root.ts';
import { type Held, Shelf, type ShelfState } from './shelf.ts';

export interface AuthorityOptions {
  /** The data folder; certificates go to its subfolder `tls`. */
  readonly home: string;
  /** From --listen: addresses and names; loopback is always included. */
  readonly listen?: readonly string[];
  /** From --domain. */
  readonly domain?: string | null;
  /** There are caches, whose clients trust the root that was made for them: it is not made anew unasked. */
  readonly trusted?: boolean;
  /** ms since 1970; for tests of renewal. */
  readonly now?: () => number;
  /** What was healed or replaced, for log and events. */
  readonly onNotice?: Notify;
}

/** What is public of a served certificate. */
export interface ShownCertificate {
  readonly origin: 'ours' | 'own';
  readonly generation: number;
  readonly subject: string;
  readonly issuer: string;
  /** As in the certificate: 'DNS:localhost', 'IP Address:127.0.0.1', ... */
  readonly names: readonly string[];
  readonly notBefore: number;
  readonly expiresAt: number;
  readonly fingerprint256: string;
}

/** Becomes the name of a folder. */
const CLUSTER_ID = /^[A-Za-z0-9_-]{1,128}$/;

export class Authority implements CertificateAuthority {
  readonly caFile: string;
  readonly #folder: string;
  readonly #options: AuthorityOptions;
  readonly #maker: Maker;
  readonly #shelves = new Map<string, Shelf>();
  readonly #queues = new Map<string, Promise<unknown>>();
  #root: Root;

  private constructor(options: AuthorityOptions, folder: string, root: Root) {
    this.#options = options;
    this.#folder = folder;
    this.#root = root;
    this.caFile = root.caFile;
    this.#maker = new Maker((hostName) => this.#names(hostName), this.#notify);
  }

  /**
   * Opens `<home>/tls`, at the first start making the root.
   *
   * @throws ControlError 500 `RootKeyMissing`, `RootKeyDamaged`, `RootKeyMismatch`,
   * `FileModeTooOpen`, `FileNotOurs`, `FolderNotOurs`
   */
  static async open(options: AuthorityOptions): Promise<Authority> {
    const folder = join(options.home, 'tls');
    const now = options.now ?? Date.now;
    const notify = options.onNotice ?? (() => undefined);
    const root = await openRoot(folder, now(), notify, options.trusted ?? false);
    return new Authority(options, folder, root);
  }

  /** Makes keys for the next caches in the background; without it the first cache waits for its own. */
  prepare(): void {
    this.#maker.prepare();
  }

  names(hostName: string): readonly string[] {
    return this.#names(hostName === '' ? null : hostName);
  }

  api(): Promise<ServedCertificate> {
    return this.#alone('api', async () => {
      const { held } = await this.#maker.hold(this.#apiRecipe(this.#now()));
      return served(held);
    });
  }

  served(clusterId: string, hostName: string): Promise<ServedCertificate> {
    return this.#alone(clusterId, async () => {
      const { held } = await this.#maker.hold(this.#servedRecipe(clusterId, hostName, this.#now()));
      return served(held);
    });
  }

  engine(clusterId: string, hostName: string): Promise<EngineTls> {
    return this.#alone(clusterId, async () => {
      const recipe = await this.#engineRecipe(clusterId, hostName, this.#now());
      const { held } = await this.#maker.hold(recipe);
      const { certFile, keyFile, generation } = held;
      return { certFile, keyFile, generation, caFile: this.#caFileOf(clusterId) };
    });
  }

  /** One that cannot be renewed (its file belongs to somebody else, ...) is said and stops no other. */
  async renewDue(now: number): Promise<{ clusterId: string | null; kind: Kind }[]> {
    this.#root = await openRoot(this.#folder, now, this.#notify, true);
    const changed: { clusterId: string | null; kind: Kind }[] = [];
    const renew = async (clusterId: string | null, kind: Kind, shelf: Shelf) => {
      try {
        const done = await this.#alone(clusterId ?? 'api', async () => {
          const hostName = hostNameOf(await shelf.read());
          // Nobody asked for it yet, or it cannot be told for which name: the next asker names it.
          if (hostName === null) return false;
          const recipe = await this.#recipe(clusterId, kind, hostName, now);
          return (await this.#maker.hold(recipe)).changed;
        });
        if (done) changed.push({ clusterId, kind });
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        this.#notify({
          code: 'certificate-not-renewed',
          message: `The ${kind} certificate was not renewed: ${why}`,
          clusterId,
        });
      }
    };
    await renew(null, 'api', this.#shelf(join(this.#folder, 'api')));
    for (const id of await this.#clusterIds()) {
      await renew(id, 'served', this.#cacheShelf(id, 'served'));
      await renew(id, 'engine', this.#cacheShelf(id, 'engine'));
    }
    return changed;
  }

  /**
   * @throws ControlError 400 `Own...` (see `checkOwn`), 409 `NoServedCertificate` for a cache that
   * serves no TLS
   */
  useOwn(clusterId: string, pair: OwnPair | null): Promise<ServedCertificate | null> {
    return this.#alone(clusterId, async () => {
      const now = this.#now();
      const shelf = this.#cacheShelf(clusterId, 'served');
      const hostName = hostNameOf(await shelf.read());
      if (pair === null) {
        if (hostName === null) return null;
        const recipe = this.#servedRecipe(clusterId, hostName, now);
        return served((await this.#maker.hold(recipe, 'ours')).held);
      }
      if (hostName === null) {
        throw new ControlError(
          'NoServedCertificate',
          409,
          'This cache serves no TLS certificate that could be replaced: its clientProtocol is Plaintext, or it is still being created.',
        );
      }
      const checked = checkOwn(pair, hostName, now);
      return served(await shelf.write({ ...checked, origin: 'own', hostName }));
    });
  }

  /** What the endpoint serves for a cache, to be shown; null when nothing is made for it yet. */
  async shown(clusterId: string): Promise<ShownCertificate | null> {
    const state = await this.#alone(clusterId, () => this.#cacheShelf(clusterId, 'served').read());
    if (state.kind !== 'held') return null;
    const { leaf, generation, origin } = state.held;
    return {
      origin,
      generation,
      subject: leaf.subject ?? '',
      issuer: leaf.issuer ?? '',
      names: (leaf.subjectAltName ?? '').split(', ').filter((name) => name !== ''),
      notBefore: Date.parse(leaf.validFrom),
      expiresAt: expiresAt(leaf),
      fingerprint256: leaf.fingerprint256,
    };
  }

  /** Own certificates that expire soon or no longer cover their cache's name: nobody but the user can renew them. */
  async ownProblems(
    now: number,
    hostNameNow: (clusterId: string) => string | null = () => null,
  ): Promise<Notice[]> {
    const found: Notice[] = [];
    for (const clusterId of await this.#clusterIds()) {
      const state = await this.#alone(clusterId, () =>
        this.#cacheShelf(clusterId, 'served').read(),
      );
      if (state.kind !== 'held' || state.held.origin !== 'own') continue;
      const wanted = hostNameNow(clusterId);
      if (wanted !== null && state.held.leaf.checkHost(wanted) === undefined) {
        found.push({
          code: 'own-certificate-name',
          message: `The certificate that you gave for ${state.held.hostName} does not cover ${wanted}, the cache's name now: give a new one, or go back to ours.`,
          clusterId,
        });
      }
      if (!isDue(state.held.leaf, now)) continue;
      const ended = now >= expiresAt(state.held.leaf);
      found.push({
        code: ended ? 'own-certificate-expired' : 'own-certificate-expires',
        message: `The certificate that you gave for ${state.held.hostName} ${ended ? 'expired' : 'expires'} on ${state.held.leaf.validTo}: give a new one, or go back to ours.`,
        clusterId,
      });
    }
    return found;
  }

  async remove(clusterId: string): Promise<void> {
    await this.#alone(clusterId, async () => {
      const folder = this.#cacheFolder(clusterId);
      await rm(folder, { recursive: true, force: true });
      this.#shelves.delete(join(folder, 'served'));
      this.#shelves.delete(join(folder, 'engine'));
    });
  }

  async #recipe(
    clusterId: string | null,
    kind: Kind,
    hostName: string,
    now: number,
  ): Promise<Recipe> {
    if (clusterId === null) return this.#apiRecipe(now);
    return kind === 'engine'
      ? this.#engineRecipe(clusterId, hostName, now)
      : this.#servedRecipe(clusterId, hostName, now);
  }

  #apiRecipe(now: number): Recipe {
    return {
      kind: 'api',
      clusterId: null,
      shelf: this.#shelf(join(this.#folder, 'api')),
      hostName: '',
      now,
      signer: this.#root,
      chainPem: '',
    };
  }

  #servedRecipe(clusterId: string, hostName: string, now: number): Recipe {
    const shelf = this.#cacheShelf(clusterId, 'served');
    return { kind: 'served', clusterId, shelf, hostName, now, signer: this.#root, chainPem: '' };
  }

  async #engineRecipe(clusterId: string, hostName: string, now: number): Promise<Recipe> {
    const folder = join(this.#cacheFolder(clusterId), 'ca');
    const signer = await openInternalCa(folder, this.#root, now, clusterId, this.#notify);
    const shelf = this.#cacheShelf(clusterId, 'engine');
    return { kind: 'engine', clusterId, shelf, hostName, now, signer, chainPem: signer.crossPem };
  }

  #names(hostName: string | null): string[] {
    const { listen = [], domain = null } = this.#options;
    return certificateNames(hostName, { listen, domain });
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }

  readonly #notify: Notify = (notice) => this.#options.onNotice?.(notice);

  #caFileOf(clusterId: string): string {
    return join(this.#cacheFolder(clusterId), 'ca', 'ca.pem');
  }

  #cacheFolder(clusterId: string): string {
    if (!CLUSTER_ID.test(clusterId)) {
      throw new Error(`'${clusterId}' is no cluster id`);
    }
    return join(this.#folder, 'caches', clusterId);
  }

  #cacheShelf(clusterId: string, kind: 'served' | 'engine'): Shelf {
    return this.#shelf(join(this.#cacheFolder(clusterId), kind));
  }

  #shelf(folder: string): Shelf {
    const known = this.#shelves.get(folder);
    if (known !== undefined) return known;
    const shelf = new Shelf(folder);
    this.#shelves.set(folder, shelf);
    return shelf;
  }

  /** One at a time for each cache: two askers must not both make the next generation. */
  async #alone<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#queues.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#queues.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#queues.get(key) === mine) this.#queues.delete(key);
    }
  }

  async #clusterIds(): Promise<string[]> {
    const names = await readdir(join(this.#folder, 'caches')).catch(
      (error: NodeJS.ErrnoException) => {
        // No cache was made yet.
        if (error.code === 'ENOENT') return [];
        throw error;
      },
    );
    return names.filter((name) => CLUSTER_ID.test(name));
  }
}

function served(held: Held): ServedCertificate {
  const { certFile, keyFile, generation } = held;
  return { certFile, keyFile, generation, expiresAt: expiresAt(held.leaf) };
}

/** The name that the certificate was made for; null when there is none, or it cannot be told. */
function hostNameOf(state: ShelfState): string | null {
  if (state.kind === 'held') return state.held.hostName;
  return state.kind === 'damaged' ? state.hostName : null;
}
