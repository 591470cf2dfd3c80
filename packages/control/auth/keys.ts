/** Access keys: what clients log in with, and how a login is checked without keeping the key. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { AccessKeys } from '../store/records.ts';
import { ACCESS_KEY_BYTES, MAX_PRESENTED_LENGTH } from './limits.ts';

/** A new random key: 44 characters of base64, as Azure's look. In URLs it must be percent-encoded. */
export function newAccessKey(): string {
  return randomBytes(ACCESS_KEY_BYTES).toString('base64');
}

export function newAccessKeys(): AccessKeys {
  return { primaryKey: newAccessKey(), secondaryKey: newAccessKey() };
}

/** The pair with one key replaced. */
export function regenerated(keys: AccessKeys, which: 'Primary' | 'Secondary'): AccessKeys {
  return which === 'Primary'
    ? { ...keys, primaryKey: newAccessKey() }
    : { ...keys, secondaryKey: newAccessKey() };
}

/**
 * SHA-256, lower-case hexadecimal: the form in which engines keep passwords (ACL `#hash`) and in
 * which workers get them. Fit for random keys only: a password that somebody chose needs a slow hash.
 */
export function secretHash(secret: string): string {
  return createHash('sha256').update(secret, 'utf8').digest('hex');
}

/** Hashes of both keys, for a user's record. */
export function keyHashes(keys: AccessKeys): string[] {
  return [secretHash(keys.primaryKey), secretHash(keys.secondaryKey)];
}

/**
 * Which of the hashes the presented secret belongs to; -1: none. The time does not tell how much was
 * right, nor which hash it was: all of them are compared, and only hashes are.
 */
export function matchSecret(presented: string, hashes: readonly string[]): number {
  if (presented.length > MAX_PRESENTED_LENGTH) return -1;
  const digest = createHash('sha256').update(presented, 'utf8').digest();
  let found = -1;
  for (const [index, hash] of hashes.entries()) {
    const expected = Buffer.from(hash, 'hex');
    // A damaged record has another length: it matches nothing, and says nothing about the secret.
    if (expected.length !== digest.length) continue;
    const matches = timingSafeEqual(expected, digest);
    if (matches && found < 0) found = index;
  }
  return found;
}
