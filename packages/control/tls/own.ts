/** Checks a certificate that a user brings, before anything is changed. */
import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { createSecureContext } from 'node:tls';
import { ControlError } from '../errors.ts';
import { splitPem } from './internal-ca.ts';
import { MAX_CHAIN_LENGTH, MAX_PEM_BYTES, MIN_RSA_BITS } from './limits.ts';

export interface OwnPair {
  readonly certPem: string;
  readonly keyPem: string;
}

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';

/**
 * What the endpoint may serve for `hostName`: the pair in normal form (leaf first, unencrypted key)
 * and the names that it covers. The chain must link from one certificate to the next; whether
 * clients trust its end is theirs to say.
 *
 * @throws ControlError 400 `OwnCertificateInvalid` (not PEM, too large), `OwnKeyInvalid`,
 * `OwnKeyEncrypted`, `OwnKeyMismatch`, `OwnKeyTooWeak`, `OwnChainBroken`, `OwnCertificateNotYetValid`,
 * `OwnCertificateExpired`, `OwnCertificateNotForServers`, `OwnCertificateNames`, `OwnCertificateRefused`
 */
export function checkOwn(
  pair: OwnPair,
  hostName: string,
  now: number,
): { certPem: string; keyPem: string; names: string[] } {
  const chain = readChain(pair.certPem);
  const leaf = chain[0];
  if (leaf === undefined) throw refusal('OwnCertificateInvalid', 'there is no certificate in it');
  const key = readKey(pair.keyPem);
  if (!leaf.checkPrivateKey(key)) {
    throw refusal(
      'OwnKeyMismatch',
      `the private key is not that of the first certificate (${subject(leaf)}). The server's own ` +
        'certificate must come first, its issuers after it',
    );
  }
  requireStrength(key);
  for (const each of chain) requireDates(each, now);
  requireLinks(chain);
  requireServerUse(leaf);
  const names = requireName(leaf, hostName);
  const certPem = chain.map((each) => each.toString()).join('');
  const keyPem = key.export({ format: 'pem', type: 'pkcs8' }).toString();
  requireUsable(certPem, keyPem);
  return { certPem, keyPem, names };
}

function readChain(pem: string): X509Certificate[] {
  if (pem.length > MAX_PEM_BYTES) {
    throw refusal('OwnCertificateInvalid', `it has more than ${MAX_PEM_BYTES} bytes`);
  }
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----/g)?.length ?? 0;
  const chain = splitPem(pem);
  if (blocks !== chain.length) {
    throw refusal(
      'OwnCertificateInvalid',
      `${blocks - chain.length} of its ${blocks} blocks cannot be read`,
    );
  }
  if (chain.length > MAX_CHAIN_LENGTH) {
    throw refusal(
      'OwnCertificateInvalid',
      `${chain.length} certificates are more than a chain has (${MAX_CHAIN_LENGTH})`,
    );
  }
  return chain;
}

function readKey(pem: string): KeyObject {
  if (pem.length > MAX_PEM_BYTES) throw refusal('OwnKeyInvalid', 'the key file is too large');
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED/.test(pem)) {
    throw refusal(
      'OwnKeyEncrypted',
      "the private key has a passphrase. Take it off: 'openssl pkey -in key.pem -out plain.pem'",
    );
  }
  try {
    return createPrivateKey(pem);
  } catch {
    // The parser's words could quote the key: they are left out.
    throw refusal('OwnKeyInvalid', 'there is no private key in PEM form in the key file');
  }
}

function requireStrength(key: KeyObject): void {
  const type = key.asymmetricKeyType ?? 'unknown';
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (type === 'rsa' && (bits ?? 0) < MIN_RSA_BITS) {
    throw refusal(
      'OwnKeyTooWeak',
      `an RSA key of ${bits} bits; at least ${MIN_RSA_BITS} are needed`,
    );
  }
  if (type !== 'rsa' && type !== 'ec') {
    throw refusal('OwnKeyInvalid', `a key of type ${type}; cache clients know RSA and ECDSA`);
  }
}

function requireDates(certificate: X509Certificate, now: number): void {
  if (now < certificate.validFromDate.getTime()) {
    throw refusal(
      'OwnCertificateNotYetValid',
      `${subject(certificate)} is valid from ${certificate.validFrom}, and it is ${new Date(now).toUTCString()}`,
    );
  }
  if (now >= certificate.validToDate.getTime()) {
    throw refusal(
      'OwnCertificateExpired',
      `${subject(certificate)} expired on ${certificate.validTo}, and it is ${new Date(now).toUTCString()}`,
    );
  }
}

function requireLinks(chain: readonly X509Certificate[]): void {
  for (const [index, certificate] of chain.entries()) {
    const issuer = chain[index + 1];
    if (issuer === undefined) return;
    if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) {
      throw refusal(
        'OwnChainBroken',
        `certificate ${index + 1} (${subject(certificate)}) was not issued by certificate ${index + 2} ` +
          `(${subject(issuer)}). Order: the server's own, its issuer, the issuer's issuer`,
      );
    }
  }
}

function requireServerUse(leaf: X509Certificate): void {
  // Absent means any use. `keyUsage` is node's name for the extended key usage.
  const uses: readonly string[] | undefined = leaf.keyUsage;
  if (uses === undefined || uses.includes(SERVER_AUTH)) return;
  throw refusal(
    'OwnCertificateNotForServers',
    `${subject(leaf)} may not be used by a server (extended key usage without serverAuth)`,
  );
}

function requireName(leaf: X509Certificate, hostName: string): string[] {
  const covered = isIP(hostName) === 0 ? leaf.checkHost(hostName) : leaf.checkIP(hostName);
  const names = alternativeNames(leaf);
  if (covered !== undefined && names.length > 0) return names;
  throw refusal(
    'OwnCertificateNames',
    `it covers ${names.length === 0 ? 'no name' : names.join(', ')}, and clients connect to ${hostName}. ` +
      "Get one with that name, or start with the '--domain' that this one covers",
  );
}

function alternativeNames(leaf: X509Certificate): string[] {
  return (leaf.subjectAltName ?? '')
    .split(', ')
    .flatMap((each) => each.match(/^(?:DNS|IP Address):(.+)$/)?.[1] ?? []);
}

/** The TLS library has the last word: weak signatures and curves are its to refuse. */
function requireUsable(cert: string, key: string): void {
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw refusal('OwnCertificateRefused', `the TLS library does not take it: ${why}`);
  }
}

function subject(certificate: X509Certificate): string {
  return certificate.subject.replaceAll('\n', ', ') || 'without a subject';
}

function refusal(code: string, why: string): ControlError {
  return new ControlError(
    code,
    400,
    `The certificate is not taken: ${why}. Nothing was changed.`,
    'certificate',
  );
}
