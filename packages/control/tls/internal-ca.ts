/**
 * A cache's own CA, for its engines.
 *
 * The cluster bus has no password: whoever holds a certificate that the engine's CA file accepts is
 * in (engine rule 5). Clients, on the other hand, trust only the installation's root and also talk to
 * engines, on the shard ports. Valkey has one CA file and one certificate for both. So:
 *
 * - The cache has a CA whose key issues nothing but its engines' certificates.
 * - That CA has two certificates for the same key and name: one that it signed itself, and one that
 *   the root signed. The first, alone, is the engines' CA file. The second follows the engine's
 *   certificate in its chain.
 * - A client that trusts the root builds: engine, cross-signed CA, root. An engine that trusts the
 *   self-signed CA builds: engine, self-signed CA. A stranger with a certificate from the root finds
 *   nobody on the bus who trusts the root.
 *
 * A lost key is replaced: nobody outside this machine trusts it. The file of trusted certificates
 * then holds the old one too, so that engines not yet told go on to be accepted.
 */
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { privateFolder, readPrivate, writePrivate } from '../auth/private-file.ts';
import { isDue } from './dates.ts';
import type { Signer } from './issue.ts';
import { issueCa } from './issuer.ts';
import { type CryptoKeyPair, exportKey, importCaKey, makeKeys } from './keys.ts';
import { keyId, type Notify, type Root } from './root.ts';
import { parseLeaf } from './shelf.ts';

export interface InternalCa extends Signer {
  readonly certificate: X509Certificate;
  /** Trusted by engines: the self-signed certificate. */
  readonly caFile: string;
  /** The same CA as the root signed it, for the engine's chain. */
  readonly crossPem: string;
}

interface Files {
  readonly key: string;
  readonly self: string;
  readonly cross: string;
}

/** Reads a cache's CA; makes what is missing, damaged, due, or signed by another root. */
export async function openInternalCa(
  folder: string,
  root: Root,
  now: number,
  clusterId: string,
  notify: Notify,
): Promise<InternalCa> {
  await privateFolder(folder);
  const files: Files = {
    key: join(folder, 'ca.key.pem'),
    self: join(folder, 'ca.pem'),
    cross: join(folder, 'cross.pem'),
  };
  const trusted = splitPem((await readPrivate(files.self)) ?? '');
  const keys = await openKey(files, trusted.length > 0, clusterId, notify);
  const selfPem = await openSelf(files, keys, trusted, now);
  const crossPem = await openCross(files, keys, root, now);
  const certificate = new X509Certificate(selfPem);
  return { certificatePem: selfPem, certificate, keys, caFile: files.self, crossPem };
}

async function openKey(
  files: Files,
  expected: boolean,
  clusterId: string,
  notify: Notify,
): Promise<CryptoKeyPair> {
  const pem = await readPrivate(files.key);
  const keys = pem === null ? null : await importCaKey(pem).catch(() => null);
  if (keys !== null) return keys;
  if (pem !== null || expected) {
    notify({
      code: 'engine-ca-replaced',
      message: `${files.key} was ${pem === null ? 'missing' : 'damaged'}: the engines of this cache get certificates of a new CA.`,
      clusterId,
    });
  }
  const made = await makeKeys('ecdsa');
  await writePrivate(files.key, await exportKey(made));
  return made;
}

/** The self-signed certificate; the first one of the file, which may hold the last CA's after it. */
async function openSelf(
  files: Files,
  keys: CryptoKeyPair,
  trusted: readonly X509Certificate[],
  now: number,
): Promise<string> {
  const spki = await publicKeyOf(keys);
  const [first] = trusted;
  if (first !== undefined && hasKey(first, spki) && !isDue(first, now)) return first.toString();
  const made = await issueCa({ name: await caName(keys), keys, signer: null, pathLength: 0, now });
  const former = trusted.find((each) => !hasKey(each, spki) && each.validToDate.getTime() > now);
  await writePrivate(files.self, former === undefined ? made : made + former.toString());
  return made;
}

async function openCross(
  files: Files,
  keys: CryptoKeyPair,
  root: Root,
  now: number,
): Promise<string> {
  const pem = await readPrivate(files.cross);
  const held = pem === null ? null : parseLeaf(pem);
  if (pem !== null && held !== null && !isDue(held, now)) {
    const fits = hasKey(held, await publicKeyOf(keys)) && held.verify(root.certificate.publicKey);
    if (fits) return pem;
  }
  const made = await issueCa({ name: await caName(keys), keys, signer: root, pathLength: 0, now });
  await writePrivate(files.cross, made);
  return made;
}

async function caName(keys: CryptoKeyPair): Promise<string> {
  return `Cinnabar engines ${await keyId(keys)}`;
}

async function publicKeyOf(keys: CryptoKeyPair): Promise<Buffer> {
  return Buffer.from(await globalThis.crypto.subtle.exportKey('spki', keys.publicKey));
}

function hasKey(certificate: X509Certificate, spki: Buffer): boolean {
  return certificate.publicKey.export({ format: 'der', type: 'spki' }).equals(spki);
}

/** Every certificate of a PEM text; what is none is left out. */
export function splitPem(text: string): X509Certificate[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.flatMap((block) => {
    const certificate = parseLeaf(block);
    return certificate === null ? [] : [certificate];
  });
}
