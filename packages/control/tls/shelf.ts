/**
 * A certificate and its key on disk, in generations.
 *
 * A pair of files cannot be replaced at once: between two renames a reader finds the new certificate
 * with the old key. So each generation has files of its own that never change, and one small file,
 * `current.json`, says which generation counts; it is written last. A crash in between leaves the
 * old pair in force, and files that the next generation writes over.
 *
 * The number of the generation only grows, also when `current.json` is lost: whoever loaded a pair
 * knows it by that number, and an old number with a new pair would never be loaded.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { privateFolder, readPrivate, writePrivate } from '../auth/private-file.ts';
import { GENERATIONS_KEPT } from './limits.ts';

export interface Held {
  readonly generation: number;
  /** Absolute paths. The certificate's file holds the leaf first, then its chain. */
  readonly certFile: string;
  readonly keyFile: string;
  readonly leaf: X509Certificate;
  /** What follows the leaf in its file. */
  readonly chainPem: string;
  /** Whose: made here, or brought by the user. */
  readonly origin: 'ours' | 'own';
  /** The name that it was asked for, '' for the API. */
  readonly hostName: string;
  /** Names that it was made with; of an own certificate those that it covers. */
  readonly names: readonly string[];
}

export interface NewPair {
  readonly certPem: string;
  readonly keyPem: string;
  readonly origin: 'ours' | 'own';
  readonly hostName: string;
  readonly names: readonly string[];
}

/** `damaged` says what was wrong, with the file. */
export type ShelfState =
  | { readonly kind: 'held'; readonly held: Held }
  | { readonly kind: 'empty' }
  | { readonly kind: 'damaged'; readonly why: string; readonly hostName: string | null };

interface Pointer {
  readonly generation: number;
  readonly origin: 'ours' | 'own';
  readonly hostName: string;
  readonly names: readonly string[];
}

export class Shelf {
  readonly folder: string;
  /** What was read or written last, with the text of both files: it is parsed once. */
  #known: { readonly held: Held; readonly text: string } | null = null;

  constructor(folder: string) {
    this.folder = folder;
  }

  /**
   * What counts now, read and checked (the key fits the certificate) whenever the files may have
   * changed since.
   */
  async read(): Promise<ShelfState> {
    const text = await readPrivate(this.#pointerFile());
    if (text === null) {
      this.#known = null;
      const last = await this.#lastGeneration();
      if (last === 0) return { kind: 'empty' };
      return { kind: 'damaged', why: `${this.#pointerFile()} is missing`, hostName: null };
    }
    const pointer = parsePointer(text);
    if (pointer === null) {
      return { kind: 'damaged', why: `${this.#pointerFile()} is not readable`, hostName: null };
    }
    return this.#load(pointer);
  }

  async #load(pointer: Pointer): Promise<ShelfState> {
    const { certFile, keyFile } = this.#files(pointer.generation);
    const { hostName } = pointer;
    const certPem = await readPrivate(certFile);
    const keyPem = await readPrivate(keyFile);
    if (certPem === null) return { kind: 'damaged', why: `${certFile} is missing`, hostName };
    if (keyPem === null) return { kind: 'damaged', why: `${keyFile} is missing`, hostName };
    const text = `${JSON.stringify(pointer)}${certPem}${keyPem}`;
    if (this.#known?.text === text) return { kind: 'held', held: this.#known.held };
    const leaf = parseLeaf(certPem);
    if (leaf === null) {
      return { kind: 'damaged', why: `${certFile} is no certificate`, hostName };
    }
    if (!keyFits(leaf, keyPem)) {
      return { kind: 'damaged', why: `${keyFile} does not fit ${certFile}`, hostName };
    }
    const held: Held = { ...pointer, certFile, keyFile, leaf, chainPem: afterLeaf(certPem) };
    this.#known = { held, text };
    return { kind: 'held', held };
  }

  /** Puts a new generation in force and removes files of old ones. */
  async write(pair: NewPair): Promise<Held> {
    await privateFolder(this.folder);
    const generation = (await this.#lastGeneration()) + 1;
    const { certFile, keyFile } = this.#files(generation);
    await writePrivate(keyFile, pair.keyPem);
    await writePrivate(certFile, pair.certPem);
    const { origin, hostName, names } = pair;
    const pointer: Pointer = { generation, origin, hostName, names };
    await writePrivate(this.#pointerFile(), `${JSON.stringify(pointer, null, 2)}\n`);
    await this.#tidy(generation - GENERATIONS_KEPT + 1);
    const leaf = new X509Certificate(pair.certPem);
    const held: Held = { ...pointer, certFile, keyFile, leaf, chainPem: afterLeaf(pair.certPem) };
    this.#known = null;
    return held;
  }

  #pointerFile(): string {
    return join(this.folder, 'current.json');
  }

  #files(generation: number): { certFile: string; keyFile: string } {
    return {
      certFile: join(this.folder, `${generation}.cert.pem`),
      keyFile: join(this.folder, `${generation}.key.pem`),
    };
  }

  async #lastGeneration(): Promise<number> {
    const files = await this.#generations();
    const pointer = await readPrivate(this.#pointerFile());
    const named = pointer === null ? 0 : (parsePointer(pointer)?.generation ?? 0);
    return Math.max(0, named, ...files.map((each) => each.generation));
  }

  /** Removes files of old generations, and what a crash left half written. */
  async #tidy(firstKept: number): Promise<void> {
    const old = (await this.#generations()).filter((each) => each.generation < firstKept);
    const halves = (await namesIn(this.folder)).filter((name) => /^\..*\.tmp$/.test(name));
    for (const name of [...old.map((each) => each.name), ...halves]) {
      await rm(join(this.folder, name), { force: true });
    }
  }

  async #generations(): Promise<{ name: string; generation: number }[]> {
    const names = await namesIn(this.folder);
    return names.flatMap((name) => {
      const match = name.match(/^(\d+)\.(cert|key)\.pem$/);
      return match?.[1] === undefined ? [] : [{ name, generation: Number(match[1]) }];
    });
  }
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    // A folder that was never written to holds nothing.
    if (error.code === 'ENOENT') return [];
    throw error;
  });
}

function parsePointer(text: string): Pointer | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Not JSON: the caller says that the file is not readable.
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { generation, origin, hostName, names } = value as Record<string, unknown>;
  if (!Number.isSafeInteger(generation) || typeof generation !== 'number' || generation < 1) {
    return null;
  }
  if (origin !== 'ours' && origin !== 'own') return null;
  if (typeof hostName !== 'string' || !Array.isArray(names)) return null;
  if (!names.every((name) => typeof name === 'string')) return null;
  return { generation, origin, hostName, names };
}

function afterLeaf(pem: string): string {
  const end = '-----END CERTIFICATE-----\n';
  const at = pem.indexOf(end);
  return at < 0 ? '' : pem.slice(at + end.length);
}

/** The first certificate of a PEM text; null when there is none. */
export function parseLeaf(pem: string): X509Certificate | null {
  try {
    return new X509Certificate(pem);
  } catch {
    // No certificate: the caller names the file.
    return null;
  }
}

/** Whether a private key (PEM) belongs to a certificate. */
export function keyFits(certificate: X509Certificate, keyPem: string): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(keyPem));
  } catch {
    // No key at all: it does not fit.
    return false;
  }
}
