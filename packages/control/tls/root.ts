/**
 * The installation's root: the one certificate that users trust.
 *
 * Users have copies of it, so its key is what matters: a certificate that was lost, expired or was
 * made under a wrong clock is made again with the same key and name, and every copy out there goes
 * on to work until its own end. A lost key is different. A new one would be a new root, and each
 * client would fail until somebody had carried the new file to it: that is the user's decision, so
 * it is an error that says so, never a repair.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createPrivate, privateFolder, readPrivate, writePrivate } from '../auth/private-file.ts';
import { ControlError } from '../errors.ts';
import { isDue } from './dates.ts';
import type { Signer } from './issue.ts';
import { issueCa } from './issuer.ts';
import { type CryptoKeyPair, exportKey, importCaKey, makeKeys } from './keys.ts';
import { keyFits, parseLeaf } from './shelf.ts';

export interface Root extends Signer {
  readonly certificate: X509Certificate;
  readonly caFile: string;
}

/** Named reason and a sentence, for the log and the event. */
export interface Notice {
  readonly code: string;
  readonly message: string;
  readonly clusterId: string | null;
}

export type Notify = (notice: Notice) => void;

/** Code of the notice that every client needs another file. */
export const ROOT_REPLACED = 'root-replaced';
const CERT = 'ca.pem';
const KEY = 'ca.key.pem';

/**
 * Reads the root, makes it at the first start, renews its certificate when that is due. `trusted`: there
 * are clients who trust the one that was made before; then a folder that is gone is no first start,
 * and an empty one is the user's word that a new root is wanted.
 *
 * @throws ControlError 500 `RootKeyMissing`, `RootKeyDamaged`, `RootKeyMismatch`, and what reading a
 * private file throws (`FileModeTooOpen`, `FileNotOurs`)
 */
export async function openRoot(
  folder: string,
  now: number,
  notify: Notify,
  trusted: boolean,
): Promise<Root> {
  if (trusted && !existsSync(folder)) throw lost(folder);
  await privateFolder(folder);
  const caFile = join(folder, CERT);
  const keyFile = join(folder, KEY);
  let keyPem = await readPrivate(keyFile);
  if (keyPem === null) {
    await requireFirstStart(folder, keyFile);
    await createPrivate(keyFile, await exportKey(await makeKeys('ecdsa')));
    // Read back: of two starts at once only one made the file.
    keyPem = (await readPrivate(keyFile)) ?? '';
    if (trusted) {
      notify({
        code: ROOT_REPLACED,
        message: `${folder} was empty, so a new root was made: clients that trust the former one cannot connect before they have ${caFile}.`,
        clusterId: null,
      });
    }
  }
  const keys = await readCaKey(keyPem, keyFile);
  const certPem = await readPrivate(caFile);
  const certificate = certPem === null ? null : parseLeaf(certPem);
  if (certPem !== null && certificate !== null) {
    if (!keyFits(certificate, keyPem)) throw mismatch(caFile, keyFile);
    if (!isDue(certificate, now)) return { certificatePem: certPem, certificate, keys, caFile };
    notify({
      code: 'root-renewed',
      message: `${caFile} was made again with the same key; copies of the old one stay valid until ${certificate.validTo}.`,
      clusterId: null,
    });
  } else if (certPem !== null) {
    notify({
      code: 'root-restored',
      message: `${caFile} was damaged; it was made again with the same key, copies of the old one stay valid.`,
      clusterId: null,
    });
  }
  const name = `Cinnabar root ${await keyId(keys)}`;
  const made = await issueCa({ name, keys, signer: null, pathLength: 1, now });
  await writePrivate(caFile, made);
  return { certificatePem: made, certificate: new X509Certificate(made), keys, caFile };
}

/** Names the key in the CA's name: two installations in one trust store are then told apart. */
export async function keyId(keys: CryptoKeyPair): Promise<string> {
  const spki = await globalThis.crypto.subtle.exportKey('spki', keys.publicKey);
  return createHash('sha256').update(Buffer.from(spki)).digest('hex').slice(0, 12);
}

/** @throws ControlError 500 `RootKeyMissing` when anything was ever issued from a lost key */
async function requireFirstStart(folder: string, keyFile: string): Promise<void> {
  // What begins with a dot is a file that a crash left half written.
  const present = (await readdir(folder)).filter((name) => !name.startsWith('.'));
  if (present.length === 0) return;
  throw new ControlError(
    'RootKeyMissing',
    500,
    `${keyFile} is missing, but certificates of it exist. Restore it from a backup. Without one: stop ` +
      `everything, move ${folder} away, and ${anew(folder)}`,
  );
}

function lost(folder: string): ControlError {
  return new ControlError(
    'RootKeyMissing',
    500,
    `${folder} is missing, with the key of the certificates that clients of the caches here trust. ` +
      `Restore it from a backup. Without one: ${anew(folder)}`,
  );
}

function anew(folder: string): string {
  return (
    `make an empty folder there (mkdir -m 700 '${folder}'), start again, and give the new ${CERT} to ` +
    'every client: none can connect without it.'
  );
}

async function readCaKey(pem: string, file: string): Promise<CryptoKeyPair> {
  try {
    return await importCaKey(pem);
  } catch {
    // The parser's words could quote the key: they are left out.
    throw new ControlError(
      'RootKeyDamaged',
      500,
      `${file} is not the ECDSA key that was written there. Restore it from a backup.`,
    );
  }
}

function mismatch(caFile: string, keyFile: string): ControlError {
  return new ControlError(
    'RootKeyMismatch',
    500,
    `${keyFile} is not the key of ${caFile}. One of them was replaced: restore the one that fits the ` +
      'certificate that clients trust.',
  );
}
