/** When a certificate is due for renewal. */
import type { X509Certificate } from 'node:crypto';
import { RENEW_SHARE } from './limits.ts';

/**
 * Due when a third of its life is left, and also when it is not valid yet: the clock may have been
 * wrong when it was made, or may have been set back since.
 */
export function isDue(certificate: X509Certificate, now: number): boolean {
  const from = certificate.validFromDate.getTime();
  const to = certificate.validToDate.getTime();
  return now < from || now >= to - (to - from) * RENEW_SHARE;
}

/** End of validity, ms since 1970. */
export function expiresAt(certificate: X509Certificate): number {
  return certificate.validToDate.getTime();
}
