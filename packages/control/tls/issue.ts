/** Makes certificates, in the thread of `issuer.ts`. No files here. */
// The X.509 library needs this polyfill, and before it is loaded itself.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { type CryptoKeyPair, ECDSA } from './keys.ts';
import {
  CA_BACKDATE_MS,
  CA_LIFE_MS,
  LEAF_BACKDATE_MS,
  LEAF_LIFE_MS,
  MAX_COMMON_NAME,
} from './limits.ts';

/** A CA that can sign: its certificate (of any issuer, the name and key count) and its key pair. */
export interface Signer {
  readonly certificatePem: string;
  readonly keys: CryptoKeyPair;
}

export interface CaRequest {
  /** Common name; must be unique, as clients find issuers by name. */
  readonly name: string;
  readonly keys: CryptoKeyPair;
  /** Null: self-signed. */
  readonly signer: Signer | null;
  /** How many CAs may follow below it. */
  readonly pathLength: 0 | 1;
  readonly now: number;
}

/**
 * The certificate of a CA, PEM. With the same name and key it can be made again at any time and by
 * any signer: what was issued below it fits all of them, as issuers are matched by name and key.
 */
export async function issueCa(request: CaRequest): Promise<string> {
  const { keys, signer, now } = request;
  const subject = distinguishedName(request.name);
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject,
    issuer: signer === null ? subject : new X509Certificate(signer.certificatePem).subject,
    ...validity(now - CA_BACKDATE_MS, now + CA_LIFE_MS, signer),
    signingAlgorithm: ECDSA,
    publicKey: keys.publicKey,
    signingKey: (signer?.keys ?? keys).privateKey,
    extensions: [
      new BasicConstraintsExtension(true, request.pathLength, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create((signer?.keys ?? keys).publicKey),
    ],
  });
  return toPem(certificate);
}

export interface LeafRequest {
  /** DNS names and IP addresses; the first one is the common name. */
  readonly names: readonly string[];
  readonly keys: CryptoKeyPair;
  readonly signer: Signer;
  /** `server`: what clients connect to. `peer`: an engine, which is both sides of the bus. */
  readonly use: 'server' | 'peer';
  readonly now: number;
}

/** A server's or an engine's certificate, PEM, without its chain. */
export async function issueLeaf(request: LeafRequest): Promise<string> {
  const { keys, signer, now, names } = request;
  const first = names.find((name) => name.length <= MAX_COMMON_NAME) ?? 'cinnabar';
  const uses = [ExtendedKeyUsage.serverAuth];
  if (request.use === 'peer') uses.push(ExtendedKeyUsage.clientAuth);
  const isRsa = keys.publicKey.algorithm.name !== ECDSA.name;
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: distinguishedName(first),
    issuer: new X509Certificate(signer.certificatePem).subject,
    ...validity(now - LEAF_BACKDATE_MS, now + LEAF_LIFE_MS, signer),
    signingAlgorithm: ECDSA,
    publicKey: keys.publicKey,
    signingKey: signer.keys.privateKey,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(
        KeyUsageFlags.digitalSignature | (isRsa ? KeyUsageFlags.keyEncipherment : 0),
        true,
      ),
      new ExtendedKeyUsageExtension(uses),
      new SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value })),
      ),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(signer.keys.publicKey),
    ],
  });
  return toPem(certificate);
}

/** Never longer than the issuer: some clients refuse a leaf that outlives its CA. */
function validity(from: number, to: number, signer: Signer | null) {
  const end = signer === null ? to : new X509Certificate(signer.certificatePem).notAfter.getTime();
  return { notBefore: new Date(from), notAfter: new Date(Math.min(to, end)) };
}

function distinguishedName(commonName: string): string {
  return `CN=${commonName.replace(/[,+"\\<>;=#]/g, '-')}, O=Cinnabar`;
}

/** 127 random bits, positive as RFC 5280 wants, never beginning with a zero byte. */
function serialNumber(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return Buffer.from(bytes).toString('hex');
}

function toPem(certificate: X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}
