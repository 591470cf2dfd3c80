/** Passwords that only our own processes know. */
import { randomBytes } from 'node:crypto';
import type { InternalSecrets } from '../store/records.ts';
import { SECRET_BYTES } from './limits.ts';

/**
 * A random password of 256 bits. Letters, digits, `-` and `_` only: it travels through engine
 * configuration files, where quotes and `#` mean something.
 */
function newPassword(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

/** One set a database: a password that leaks opens one cache, not all. */
export function newInternalSecrets(): InternalSecrets {
  return { admin: newPassword(), replication: newPassword(), endpoint: newPassword() };
}
