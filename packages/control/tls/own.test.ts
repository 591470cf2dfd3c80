import 'reflect-metadata';
import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import fc from 'fast-check';
import { ControlError } from '../errors.ts';
import { Authority } from './authority.ts';
import { issueCa, issueLeaf } from './issue.ts';
import { exportKey, makeKeys } from './keys.ts';
import { checkOwn } from './own.ts';

const HOST = 'c1.caches.example.org';
const NOW = Date.parse('2026-06-01T00:00:00Z');
const DAY = 86_400_000;

async function ca(now = NOW) {
  const keys = await makeKeys('ecdsa');
  const certificatePem = await issueCa({
    name: `Somebody's CA ${Math.random()}`,
    keys,
    signer: null,
    pathLength: 1,
    now,
  });
  return { certificatePem, keys };
}

async function pair(names: readonly string[], now = NOW, kind: 'rsa' | 'ecdsa' = 'ecdsa') {
  const signer = await ca(now);
  const keys = await makeKeys(kind);
  const leaf = await issueLeaf({ names, keys, signer, use: 'server', now });
  return { leaf, issuer: signer.certificatePem, keyPem: await exportKey(keys) };
}

function code(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof ControlError, String(error));
    assert.equal(error.status, 400);
    assert.match(error.message, /Nothing was changed/);
    assert.ok(!error.message.includes('PRIVATE KEY'), 'an error shows no key');
    return error.code;
  }
  return 'taken';
}

describe('own certificates', () => {
  let home = '';
  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'cinnabar-own-'));
  });
  after(() => rm(home, { recursive: true, force: true }));

  it('are taken with a chain, without one, with a wildcard, RSA or ECDSA', async () => {
    for (const kind of ['rsa', 'ecdsa'] as const) {
      const { leaf, issuer, keyPem } = await pair([HOST], NOW, kind);
      assert.deepEqual(checkOwn({ certPem: leaf + issuer, keyPem }, HOST, NOW).names, [HOST]);
      assert.equal(checkOwn({ certPem: leaf, keyPem }, HOST, NOW).certPem, leaf);
    }
    const wild = await pair(['*.caches.example.org']);
    assert.equal(
      code(() => checkOwn({ certPem: wild.leaf, keyPem: wild.keyPem }, HOST, NOW)),
      'taken',
    );
    const bySec1 = await pair([HOST]);
    const sec1 = createPrivateKey(bySec1.keyPem).export({ format: 'pem', type: 'sec1' }).toString();
    assert.match(sec1, /BEGIN EC PRIVATE KEY/);
    assert.match(
      checkOwn({ certPem: bySec1.leaf, keyPem: sec1 }, HOST, NOW).keyPem,
      /BEGIN PRIVATE KEY/,
    );
  });

  it('are refused by name', async () => {
    const good = await pair([HOST]);
    const other = await pair([HOST]);
    const client = await makeKeys('ecdsa');
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const encrypted = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
      format: 'pem',
      type: 'pkcs8',
      cipher: 'aes-256-cbc',
      passphrase: 'x',
    });
    const weakLeaf = await issueLeaf({
      names: [HOST],
      signer: await ca(),
      use: 'server',
      now: NOW,
      keys: {
        privateKey: client.privateKey,
        publicKey: await globalThis.crypto.subtle.importKey(
          'spki',
          weak.publicKey.export({ format: 'der', type: 'spki' }),
          { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
          true,
          ['verify'],
        ),
      },
    });
    const weakKey = weak.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    const damaged = good.leaf.replace(/\n.{64}\n/, `\n${'A'.repeat(64)}\n`);
    const cases: [string, string, string, string?, number?][] = [
      ['OwnCertificateInvalid', '', good.keyPem],
      ['OwnCertificateInvalid', 'rubbish', good.keyPem],
      ['OwnCertificateInvalid', damaged, good.keyPem],
      ['OwnCertificateInvalid', good.leaf.repeat(11), good.keyPem],
      ['OwnCertificateInvalid', good.leaf + 'x'.repeat(300_000), good.keyPem],
      ['OwnKeyInvalid', good.leaf, ''],
      ['OwnKeyInvalid', good.leaf, good.leaf],
      ['OwnKeyEncrypted', good.leaf, encrypted.toString()],
      ['OwnKeyMismatch', good.leaf, other.keyPem],
      ['OwnKeyMismatch', good.issuer + good.leaf, good.keyPem],
      ['OwnKeyTooWeak', weakLeaf, weakKey],
      ['OwnChainBroken', good.leaf + other.issuer, good.keyPem],
      ['OwnCertificateNotYetValid', good.leaf, good.keyPem, HOST, NOW - 2 * DAY],
      ['OwnCertificateExpired', good.leaf, good.keyPem, HOST, NOW + 91 * DAY],
      ['OwnCertificateNames', good.leaf, good.keyPem, 'c2.caches.example.org'],
      ['OwnCertificateNames', good.leaf, good.keyPem, '127.0.0.1'],
    ];
    for (const [expected, certPem, keyPem, hostName = HOST, now = NOW] of cases) {
      assert.equal(
        code(() => checkOwn({ certPem, keyPem }, hostName, now)),
        expected,
      );
    }
  });

  it('are refused when they are for clients only', async () => {
    const keys = await makeKeys('ecdsa');
    const certificate = await X509CertificateGenerator.createSelfSigned({
      name: 'CN=client',
      keys,
      notBefore: new Date(NOW - DAY),
      notAfter: new Date(NOW + DAY),
      signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
      extensions: [
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
        new SubjectAlternativeNameExtension([{ type: 'dns', value: HOST }]),
      ],
    });
    const given = { certPem: certificate.toString('pem'), keyPem: await exportKey(keys) };
    assert.equal(
      code(() => checkOwn(given, HOST, NOW)),
      'OwnCertificateNotForServers',
    );
  });

  it('never crash the check, whatever is sent', async () => {
    const { leaf, keyPem } = await pair([HOST]);
    const cut = fc.nat({ max: leaf.length }).map((at) => leaf.slice(0, at) + leaf.slice(at + 1));
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), cut),
        fc.oneof(fc.string(), fc.constant(keyPem)),
        (certPem, key) => {
          code(() => checkOwn({ certPem, keyPem: key }, HOST, NOW));
        },
      ),
      { numRuns: 200 },
    );
  });

  it('are served until taken back, are never renewed over, and are said to end', async () => {
    let now = NOW;
    const authority = await Authority.open({ home, now: () => now });
    const first = await authority.served('c1', HOST);
    const own = await pair([HOST]);
    const given = { certPem: own.leaf + own.issuer, keyPem: own.keyPem };
    const served = await authority.useOwn('c1', given);
    assert.equal(served?.generation, first.generation + 1);
    assert.deepEqual(await authority.served('c1', HOST), served);
    assert.equal(await readFile(served?.certFile ?? '', 'utf8'), given.certPem);

    await assert.rejects(authority.useOwn('c1', { ...given, keyPem: 'x' }), ControlError);
    assert.deepEqual(await authority.served('c1', HOST), served, 'a refusal changes nothing');

    assert.deepEqual(await authority.ownProblems(now), []);
    now = NOW + 70 * DAY;
    assert.deepEqual(await authority.renewDue(now), []);
    assert.deepEqual(
      (await authority.ownProblems(now)).map((each) => each.code),
      ['own-certificate-expires'],
    );
    assert.deepEqual(
      (await authority.ownProblems(NOW + 91 * DAY)).map((each) => each.code),
      ['own-certificate-expired'],
    );

    const back = await authority.useOwn('c1', null);
    assert.equal(back?.generation, first.generation + 2);
    assert.deepEqual(await authority.ownProblems(now), []);
    assert.equal(await authority.useOwn('c9', null), null);
    await assert.rejects(
      authority.useOwn('c9', given),
      (error) => error instanceof ControlError && error.code === 'NoServedCertificate',
    );
  });
});
