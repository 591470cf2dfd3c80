/**
 * Secrets at rest: access keys and internal passwords are in the store only in this form, so that a
 * copied database file is useless without the key file beside it.
 *
 * AES-256-GCM with a random nonce. A sealed value is bound to the row that it belongs to: the
 * row's name is authenticated with it, so a value moved to another row (somebody gives cache B the
 * key of cache A) does not open. It names its format and its key, so that "another key file" is said
 * as such and not as "damaged":
 *
 *     v1.<first 8 hex digits of the key's SHA-256>.<nonce>.<ciphertext and tag>      (base64url)
 *
 * The key file is made once, at the first start. A lost one is never replaced in silence: what was
 * sealed with it would be lost without a word.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { ControlError } from '../errors.ts';
import { BOX_KEY_BYTES, BOX_NONCE_BYTES, BOX_TAG_BYTES } from './limits.ts';
import { createPrivate, privateFolder, readPrivate } from './private-file.ts';

export const SECRET_KEY_FILE = 'secret.key';
const FILE_FORMAT = /^cinnabar-secret-key-v1 ([A-Za-z0-9_-]{43})\n$/;
const SEALED_FORMAT = /^v1\.([0-9a-f]{8})\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]+)$/;
const CIPHER = 'aes-256-gcm';

export class SecretBox {
  readonly #key: Buffer;
  readonly #keyId: string;

  /** @param key 32 bytes */
  constructor(key: Buffer) {
    if (key.length !== BOX_KEY_BYTES) throw new Error(`a key of ${key.length} bytes`);
    this.#key = key;
    this.#keyId = createHash('sha256').update(key).digest('hex').slice(0, 8);
  }

  /** @param row what the value belongs to, e.g. 'keys/<database id>'; must be given again to open it */
  seal(plain: string, row: string): string {
    const nonce = randomBytes(BOX_NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#key, nonce, { authTagLength: BOX_TAG_BYTES });
    cipher.setAAD(Buffer.from(`cinnabar/v1/${row}`, 'utf8'));
    const body = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final(), cipher.getAuthTag()]);
    return `v1.${this.#keyId}.${nonce.toString('base64url')}.${body.toString('base64url')}`;
  }

  /**
   * @throws ControlError 500 `SecretFormat` (not one of ours, or of a newer version),
   * `SecretKeyWrong` (sealed with another key file), `SecretDamaged` (changed, or of another row)
   */
  open(sealed: string, row: string): string {
    const match = sealed.match(SEALED_FORMAT);
    const [, keyId, nonce, text] = match ?? [];
    if (keyId === undefined || nonce === undefined || text === undefined) {
      throw new ControlError(
        'SecretFormat',
        500,
        `The secret of ${row} is not in a form that this build knows. Was the store written by a newer one?`,
      );
    }
    if (keyId !== this.#keyId) {
      throw new ControlError(
        'SecretKeyWrong',
        500,
        `The secret of ${row} was sealed with key ${keyId}, and ${SECRET_KEY_FILE} is key ${this.#keyId}. ` +
          `Store and key file must come from the same backup.`,
      );
    }
    return this.#decrypt(nonce, Buffer.from(text, 'base64url'), row);
  }

  #decrypt(nonce: string, body: Buffer, row: string): string {
    const end = body.length - BOX_TAG_BYTES;
    try {
      const options = { authTagLength: BOX_TAG_BYTES };
      const decipher = createDecipheriv(
        CIPHER,
        this.#key,
        Buffer.from(nonce, 'base64url'),
        options,
      );
      decipher.setAAD(Buffer.from(`cinnabar/v1/${row}`, 'utf8'));
      decipher.setAuthTag(body.subarray(end));
      return decipher.update(body.subarray(0, end), undefined, 'utf8') + decipher.final('utf8');
    } catch {
      // The cipher says only that it does not fit; which byte it was must not be told anyway.
      throw new ControlError(
        'SecretDamaged',
        500,
        `The secret of ${row} was changed, or belongs to another row. Regenerate its keys, or restore the store from a backup.`,
      );
    }
  }
}

/**
 * Opens the key file in `home`. `mayCreate` is true only when the store holds nothing sealed yet.
 *
 * @throws ControlError 500 `SecretKeyMissing`, `SecretKeyDamaged`, and what reading a private file
 * throws (`FileModeTooOpen`, `FileNotOurs`)
 */
export async function openSecretBox(
  home: string,
  options: { readonly mayCreate: boolean },
): Promise<SecretBox> {
  const path = join(home, SECRET_KEY_FILE);
  let text = await readPrivate(path);
  if (text === null && options.mayCreate) {
    await privateFolder(home);
    const key = randomBytes(BOX_KEY_BYTES).toString('base64url');
    await createPrivate(path, `cinnabar-secret-key-v1 ${key}\n`);
    // Read back: of two starts at once only one made the file.
    text = await readPrivate(path);
  }
  if (text === null) {
    throw new ControlError(
      'SecretKeyMissing',
      500,
      `${path} is missing: without it the access keys in the store cannot be read. Restore it from a backup.`,
    );
  }
  const key = text.match(FILE_FORMAT)?.[1];
  if (key === undefined) {
    throw new ControlError(
      'SecretKeyDamaged',
      500,
      `${path} does not hold the key that was written there. Restore it from a backup.`,
    );
  }
  return new SecretBox(Buffer.from(key, 'base64url'));
}
