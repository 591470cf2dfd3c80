/**
 * Makes, writes and reads key pairs.
 *
 * CAs are ECDSA P-256: made in a millisecond, and every TLS 1.2 client of the last decade verifies
 * their signatures. Leaves that cache clients see are RSA 2048, although ECDSA would be cheaper,
 * because Azure's TLS 1.2 suites are ECDHE_RSA only: a client that is configured for exactly those
 * (Azure's own documentation lists them) cannot speak to an ECDSA server at all. The price was
 * measured on two cores: 0.29 ms of signing a full handshake against 0.02 ms, none on a resumed one;
 * and 61 ms (p50) to 162 ms (worst of 25) to make a key, which `KeyReserve` pays in advance.
 * The API's certificate is ECDSA: its clients choose from modern suites.
 */
import { createPrivateKey, type webcrypto } from 'node:crypto';
import { RSA_BITS } from './limits.ts';

export type CryptoKeyPair = webcrypto.CryptoKeyPair;
export type KeyKind = 'rsa' | 'ecdsa';

export const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const RSA = {
  name: 'RSASSA-PKCS1-v1_5',
  modulusLength: RSA_BITS,
  publicExponent: new Uint8Array([1, 0, 1]),
  hash: 'SHA-256',
} as const;

const { subtle } = globalThis.crypto;

/** RSA is made by the thread pool: the event loop goes on meanwhile. */
export async function makeKeys(kind: KeyKind): Promise<CryptoKeyPair> {
  return subtle.generateKey(kind === 'rsa' ? RSA : ECDSA, true, ['sign', 'verify']);
}

/** The private key as PKCS#8, PEM. */
export async function exportKey(keys: CryptoKeyPair): Promise<string> {
  const pkcs8 = await subtle.exportKey('pkcs8', keys.privateKey);
  const key = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
  return key.export({ format: 'pem', type: 'pkcs8' }).toString();
}

/**
 * A CA's ECDSA key pair from its PKCS#8 PEM. Rejects with whatever the parser says when it is none:
 * the caller knows which file it was.
 */
export async function importCaKey(pem: string): Promise<CryptoKeyPair> {
  const pkcs8 = createPrivateKey(pem).export({ format: 'der', type: 'pkcs8' });
  const privateKey = await subtle.importKey('pkcs8', pkcs8, ECDSA, true, ['sign']);
  const { kty, crv, x, y } = await subtle.exportKey('jwk', privateKey);
  if (kty === undefined || crv === undefined || x === undefined || y === undefined) {
    throw new Error('the key has no public point');
  }
  const publicKey = await subtle.importKey('jwk', { kty, crv, x, y }, ECDSA, true, ['verify']);
  return { privateKey, publicKey };
}
