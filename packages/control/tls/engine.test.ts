/** The two certificates of an internal CA, on real engines: who is let in, and who is not. */
import assert from 'node:assert/strict';
import { randomBytes, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import {
  type ClusterMember,
  type EngineTls,
  type ProvisionedEngine,
  provisionEngine,
} from '../../engine/index.ts';
import { newInternalSecrets } from '../auth/internal.ts';
import { keyHashes, newAccessKeys } from '../auth/keys.ts';
import { engineUsers } from '../auth/users.ts';
import { Authority } from './authority.ts';
import { issueLeaf } from './issue.ts';
import { exportKey, importCaKey, makeKeys } from './keys.ts';
import {
  type Address,
  DEADLINE_MS,
  newAddress,
  type RunningEngine,
  startEngine,
  testFolder,
  until,
} from './testing.ts';

const HOST = 'c1.local.test';

function member(address: Address, primaryId: string | null, epoch: number): ClusterMember {
  return {
    id: address.id,
    host: '127.0.0.1',
    port: address.port,
    busPort: address.busPort,
    primaryId,
    epoch,
    slots: primaryId === null ? [[0, 16383]] : [],
  };
}

/** A cache of one shard, primary and replica, with 100 keys that both hold. */
async function startPair(context: TestContext, engine: ProvisionedEngine) {
  const folder = await testFolder(context);
  const authority = await Authority.open({ home: folder });
  const tls = await authority.engine('c1', HOST);
  const secrets = newInternalSecrets();
  const keys = newAccessKeys();
  const users = engineUsers(
    {
      policy: 'OSSCluster',
      accessKeys: 'Enabled',
      azureStrict: false,
      guard: [],
      keyHashes: keyHashes(keys),
      secrets,
    },
    engine.capabilities.commands,
  );
  const [one, two] = [await newAddress(), await newAddress()];
  const members = [member(one, null, 1), member(two, one.id, 1)];
  const start = (address: Address, identity: EngineTls, known: readonly ClusterMember[]) =>
    startEngine(context, {
      folder,
      engine,
      address,
      role: { kind: 'cluster', members: known, myself: address.id },
      tls: identity,
      users,
      passwords: secrets,
      announceHost: HOST,
    });
  const primary = await start(one, tls, members);
  const replica = await start(two, tls, members);
  await until('the replica is in sync', async () => {
    const facts = await replica.link.facts(DEADLINE_MS);
    return facts.role === 'replica' && facts.link === 'up' && !facts.syncing;
  });
  await until('the primary serves', async () => {
    const facts = await primary.link.facts(DEADLINE_MS);
    return facts.cluster?.state === 'ok';
  });
  for (let key = 0; key < 100; key += 1) {
    await primary.link.command(['SET', `key${key}`, 'value'], DEADLINE_MS);
  }
  const inSync = () =>
    until('both hold 100 keys', async () => {
      const both = [await primary.link.facts(DEADLINE_MS), await replica.link.facts(DEADLINE_MS)];
      return both.every((facts) => facts.keys === 100);
    });
  await inSync();
  return { folder, authority, primary, replica, start, keys, inSync };
}

/** Connects and finishes the handshake; rejects with the TLS error when one side refuses. */
async function handshake(options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', ...options });
  await once(socket, 'secureConnect', { signal: AbortSignal.timeout(DEADLINE_MS) });
  return socket;
}

async function ask(socket: TLSSocket, command: string): Promise<string> {
  socket.write(`${command}\r\n`);
  const [data] = await once(socket, 'data', { signal: AbortSignal.timeout(DEADLINE_MS) });
  return String(data).trim();
}

/** What somebody could hold who got any certificate of the root: valid, right names, both uses. */
async function strangersIdentity(folder: string, authority: Authority, trusted: string) {
  const keys = await makeKeys('rsa');
  const rootKeys = await importCaKey(await readFile(join(folder, 'tls', 'ca.key.pem'), 'utf8'));
  const rootPem = await readFile(authority.caFile, 'utf8');
  const leaf = await issueLeaf({
    names: [HOST, 'localhost', '127.0.0.1'],
    keys,
    signer: { certificatePem: rootPem, keys: rootKeys },
    use: 'peer',
    now: Date.now(),
  });
  const identity = {
    certFile: join(folder, 'stranger.cert.pem'),
    keyFile: join(folder, 'stranger.key.pem'),
    caFile: join(folder, 'stranger.ca.pem'),
    generation: 1,
  };
  await writeFile(identity.certFile, leaf + rootPem, { mode: 0o600 });
  await writeFile(identity.keyFile, await exportKey(keys), { mode: 0o600 });
  // The stranger accepts everybody: whatever refuses, it is the victim.
  await writeFile(identity.caFile, rootPem + trusted, { mode: 0o600 });
  return identity;
}

// At once, as each waits two seconds for a booting primary (engine rule 14).
describe('identity of engines', { concurrency: true }, () => {
  it('lets clients in that trust only the root, by every name, and with Azure’s RSA suites', async (t) => {
    const engine = await provisionEngine();
    const { authority, primary, keys } = await startPair(t, engine);
    const ca = await readFile(authority.caFile);
    for (const servername of [HOST, 'localhost']) {
      const socket = await handshake({ port: primary.port, ca, servername });
      assert.equal(socket.authorized, true);
      assert.equal(await ask(socket, `AUTH default ${keys.primaryKey}`), '+OK');
      socket.destroy();
    }
    for (const cipher of ['ECDHE-RSA-AES256-SHA384', 'ECDHE-RSA-AES128-SHA256']) {
      const options = { port: primary.port, ca, servername: HOST, ciphers: cipher } as const;
      const socket = await handshake({ ...options, maxVersion: 'TLSv1.2' });
      assert.equal(socket.getCipher().name, cipher);
      socket.destroy();
    }
    const other = { port: primary.port, ca, servername: 'other.test' };
    await assert.rejects(handshake(other), /does not match|ALTNAME/);
    const foreign = await Authority.open({ home: await testFolder(t) });
    const wrong = { port: primary.port, ca: await readFile(foreign.caFile), servername: HOST };
    await assert.rejects(handshake(wrong), /unable to (get|verify)|self-signed/);
    await assert.rejects(
      handshake({
        port: primary.port,
        ca,
        servername: HOST,
        maxVersion: 'TLSv1.1',
        minVersion: 'TLSv1.1',
        ciphers: 'DEFAULT@SECLEVEL=0',
      }),
      /protocol|alert/i,
    );
  });

  it('admits its own to the bus, and no certificate of the root or of another cache', async (t) => {
    const engine = await provisionEngine();
    const { folder, authority, primary } = await startPair(t, engine);
    const own = await authority.engine('c1', HOST);
    const trusted = await readFile(own.caFile, 'utf8');
    // With TLS 1.2 the server's verdict comes before the handshake ends, so it cannot be missed.
    const bus = async (pair: { certFile: string; keyFile: string } | null) => {
      const socket = await handshake({
        port: primary.busPort,
        ca: [trusted, await readFile(authority.caFile)],
        servername: HOST,
        maxVersion: 'TLSv1.2',
        ...(pair === null
          ? {}
          : { cert: await readFile(pair.certFile), key: await readFile(pair.keyFile) }),
      });
      socket.destroy();
    };
    await bus(own);
    await assert.rejects(bus(null), /alert|ECONNRESET|disconnected/i);
    const stranger = await strangersIdentity(folder, authority, trusted);
    await assert.rejects(bus(stranger), /alert|ECONNRESET|disconnected/i);
    await assert.rejects(bus(await authority.served('c1', HOST)), /alert|ECONNRESET|disconnected/i);
    await assert.rejects(bus(await authority.engine('c2', HOST)), /alert|ECONNRESET|disconnected/i);
  });

  it('keeps its data from a stranger’s engine that claims all slots', async (t) => {
    const engine = await provisionEngine();
    const { folder, authority, primary, replica, start, inSync } = await startPair(t, engine);
    const own = await authority.engine('c1', HOST);

    // The same meeting by one of ours shows that the stranger's would have worked, and how fast.
    const friend = await newAddress();
    const begin = performance.now();
    const third = await start(friend, own, [{ ...member(friend, null, 0), slots: [] }]);
    await third.link.meet('127.0.0.1', primary.port, primary.busPort, DEADLINE_MS);
    await until('one of ours is admitted', async () => (await knows(primary)).has(friend.id));
    const admittedMs = performance.now() - begin;

    const rogue = await newAddress();
    const stranger = await strangersIdentity(folder, authority, await readFile(own.caFile, 'utf8'));
    const thief = await start(rogue, stranger, [member(rogue, null, 100)]);
    await thief.link.meet('127.0.0.1', primary.port, primary.busPort, DEADLINE_MS);
    const tried = until(
      'the stranger is admitted',
      async () => (await knows(primary)).has(rogue.id) || (await knows(replica)).has(rogue.id),
      Math.max(1500, 3 * admittedMs),
    );
    await assert.rejects(tried, /not within/);
    await inSync();
    assert.equal((await primary.link.facts(DEADLINE_MS)).role, 'primary');
  });

  it('takes a renewed identity without a restart, and keeps connections that are open', async (t) => {
    const engine = await provisionEngine();
    const { folder, primary, replica, inSync } = await startPair(t, engine);
    const wider = await Authority.open({ home: folder, domain: 'caches.example.org' });
    const ca = await readFile(wider.caFile);
    const before = await handshake({ port: primary.port, ca, servername: HOST });
    const oldSerial = new X509Certificate(before.getPeerCertificate().raw).serialNumber;

    const next = await wider.engine('c1', HOST);
    assert.equal(next.generation, 2);
    for (const each of [primary, replica]) {
      await each.link.configure(
        {
          'tls-cert-file': next.certFile,
          'tls-key-file': next.keyFile,
          'tls-ca-cert-file': next.caFile,
        },
        DEADLINE_MS,
      );
    }
    const after = await handshake({ port: primary.port, ca, servername: 'caches.example.org' });
    assert.notEqual(new X509Certificate(after.getPeerCertificate().raw).serialNumber, oldSerial);
    assert.match(await ask(before, 'PING'), /NOAUTH/);
    for (const socket of [before, after]) socket.destroy();

    // The replica finds its primary again with the new identity on both sides.
    await primary.link.command(['CLIENT', 'KILL', 'TYPE', 'replica'], DEADLINE_MS);
    await primary.link.command(['DEL', 'key0'], DEADLINE_MS);
    await until('the replica follows again', async () => {
      const facts = await replica.link.facts(DEADLINE_MS);
      return facts.link === 'up' && facts.keys === 99;
    });
    await primary.link.command(['SET', 'key0', randomBytes(8).toString('hex')], DEADLINE_MS);
    await inSync();
  });
});

async function knows(engine: RunningEngine): Promise<Set<string>> {
  const facts = await engine.link.facts(DEADLINE_MS);
  return new Set((facts.cluster?.nodes ?? []).map((each) => each.id));
}
