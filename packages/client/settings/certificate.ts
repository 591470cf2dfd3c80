/** A CA as options take it: the text of its certificate. The name of its file is the mistake that is made. */
import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import type { Check } from '../checks.ts';
import { messageOf } from '../errors.ts';

const PATH_CHARS_MAX = 4_096;

/** Never says what was given: it may be a key in the wrong place. */
export const certificate: Check = (value, name) => {
  const be = `${name} must be the text of a certificate (PEM: -----BEGIN CERTIFICATE-----)`;
  if (typeof value !== 'string') return `${be}, got a ${typeof value}`;
  if (!value.includes('-----BEGIN CERTIFICATE-----')) {
    if (value.includes('\n') || value.length > PATH_CHARS_MAX) return `${be}, got another text`;
    return existsSync(value)
      ? `${be}, got the name of a file: give what is in it, readFileSync(file, 'utf8')`
      : `${be}, got a text that is none, and no file has that name`;
  }
  try {
    new X509Certificate(value);
    return undefined;
  } catch (error) {
    return `${be}, got one that cannot be read: ${messageOf(error)}`;
  }
};
