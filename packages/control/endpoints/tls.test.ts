/** TLS in front of the relay: versions, reload, resumption over workers, and who is kept out. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as turnOver } from 'node:timers/promises';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { engineRoom, eventually, TEST_PASSWORDS, testCertificates } from '../../engine/testing.ts';
import { fleetRoom, instanceOf, RawClient, shardOf, startedFleet, viewOf } from './testing.ts';

const MS = 2000;
/** New connections at once: fewer than may be before the end of their handshake. */
const FLOOD = 600;
const FLOOD_MS = 60_000;

async function tlsRoom(t: { after(end: () => unknown): void }, workers: number) {
  const engines = await engineRoom(t);
  const engine = await engines.start(await engines.launch());
  const room = fleetRoom(t);
  const fleet = await startedFleet(room, workers);
  const certificate = await testCertificates(join(room.folder, 'tls'));
  const view = await viewOf(shardOf(instanceOf(engine)), { certificate });
  assert.deepEqual(await fleet.publish(1, [view]), []);
  const trust: ConnectionOptions = { ca: readFileSync(certificate.caFile) };
  return { engine, room, fleet, view, trust, certificate };
}

/** Handshake, one PING, and what the connection was: its session, whether it resumed, which worker. */
function handshake(port: number, options: ConnectionOptions) {
  return new Promise<{
    resumed: boolean;
    session: Buffer | null;
    localPort: number;
    protocol: string | null;
    cipher: string;
  }>((resolve, reject) => {
    let session: Buffer | null = null;
    const socket: TLSSocket = connectTls({
      host: '127.0.0.1',
      port,
      servername: 'localhost',
      ...options,
    });
    socket.on('session', (ticket) => {
      session = ticket;
    });
    socket.on('error', reject);
    socket.on('secureConnect', () => socket.write('*1\r\n$4\r\nPING\r\n'));
    socket.on('data', () => {
      resolve({
        resumed: socket.isSessionReused(),
        session,
        localPort: socket.localPort ?? 0,
        protocol: socket.getProtocol(),
        cipher: socket.getCipher().name,
      });
      socket.destroy();
    });
  });
}

test('TLS 1.2 and 1.3 with Azure’s suites; 1.1 and plain text are refused by name', async (t) => {
  const { fleet, view, trust } = await tlsRoom(t, 1);
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const seen = await handshake(view.port, { ...trust, minVersion: version, maxVersion: version });
    assert.equal(seen.protocol, version);
  }
  for (const suite of ['ECDHE-ECDSA-AES256-SHA384', 'ECDHE-ECDSA-AES128-SHA256']) {
    const seen = await handshake(view.port, { ...trust, maxVersion: 'TLSv1.2', ciphers: suite });
    assert.equal(seen.cipher, suite);
  }
  await assert.rejects(
    handshake(view.port, {
      ...trust,
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    }),
  );
  await assert.rejects(
    handshake(view.port, { ...trust, maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA@SECLEVEL=0' }),
  );
  const plain = await new RawClient(view.port).ready();
  plain.socket.write('PING\r\n');
  await plain.until('it is cut off', (c) => c.closed || c.ended);
  const refused = await eventually('all are counted', async () => {
    const counts = (await fleet.counters()).databases[0]?.refused ?? {};
    return Object.values(counts).reduce((sum, n) => sum + n, 0) === 3 ? counts : null;
  });
  assert.equal(refused['tls-version'], 1);
  assert.equal(refused['not-tls'], 1);
});

test('whatever name a client asks for, it gets the certificate, and decides by that', async (t) => {
  const { view, trust } = await tlsRoom(t, 1);
  // Its name; none, as clients do that connect to an address; and one that it does not have.
  await handshake(view.port, { ...trust, servername: 'localhost' });
  await handshake(view.port, { ...trust, servername: '', checkServerIdentity: () => undefined });
  const other = { ...trust, servername: 'elsewhere.example' };
  await assert.rejects(handshake(view.port, other), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
  await handshake(view.port, { ...other, checkServerIdentity: () => undefined });
});

/** The first bytes of a client, as Node sends them; they are good for any number of connections. */
function clientHello(): Promise<Buffer> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', (hello) => {
        resolve(Buffer.from(hello));
        socket.destroy();
        server.close();
      });
    }).listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      connectTls({ host: '127.0.0.1', port }).on('error', () => undefined);
    });
  });
}

test('a flood of new connections takes turns with those who are connected', async (t) => {
  const { view, trust } = await tlsRoom(t, 1);
  const connected = await new RawClient(view.port, trust).ready();
  assert.equal(await connected.ask('AUTH', TEST_PASSWORDS.default), '+OK\r\n');
  const hello = await clientHello();
  let answered = 0;
  const flood = Array.from({ length: FLOOD }, () => {
    const socket = connect({ host: '127.0.0.1', port: view.port });
    socket.on('error', () => undefined);
    socket.once('connect', () => socket.write(hello));
    socket.once('data', () => {
      answered += 1;
    });
    return socket;
  });
  t.after(() => {
    for (const socket of flood) socket.destroy();
    connected.close();
  });
  // Counted, not timed: how many of the new were answered while a question of the old one waited. One
  // thread sees all answers, in the order in which they were given, however late it gets a core; and
  // what came before a question was sent is looked at before.
  const until = performance.now() + FLOOD_MS;
  let most = 0;
  while (answered < FLOOD) {
    assert.ok(performance.now() < until, `${answered} of ${FLOOD} were answered`);
    await turnOver();
    const before = answered;
    const waited = new Promise<number>((resolve) => {
      connected.socket.once('data', () => resolve(answered - before));
    });
    connected.send('PING');
    most = Math.max(most, await waited);
  }
  assert.ok(most < FLOOD / 4, `${most} of ${FLOOD} came first`);
});

test('a new certificate is served at once; open connections stay; a bad one changes nothing', async (t) => {
  const { fleet, view, trust, room } = await tlsRoom(t, 2);
  const old = await new RawClient(view.port, trust).ready();
  assert.equal(await old.ask('AUTH', TEST_PASSWORDS.default), '+OK\r\n');
  const renewed = await testCertificates(join(room.folder, 'tls2'));
  const broken = { ...renewed, keyFile: join(room.folder, 'absent.pem'), generation: 2 };
  const failed = await fleet.publish(2, [{ ...view, certificate: broken }]);
  assert.match(failed[0]?.reason ?? '', /^certificate-unusable: ENOENT/);
  await handshake(view.port, trust);
  assert.deepEqual(
    await fleet.publish(3, [{ ...view, certificate: { ...renewed, generation: 3 } }]),
    [],
  );
  for (let i = 0; i < 6; i += 1) {
    await assert.rejects(handshake(view.port, trust), /certificate|signature/i);
    await handshake(view.port, { ca: readFileSync(renewed.caFile) });
  }
  assert.equal(await old.ask('PING'), '+PONG\r\n');
  old.close();
});

test('a session resumes on another worker and on a replaced one', async (t) => {
  const { fleet, view, trust, room } = await tlsRoom(t, 2);
  const workerOf = (localPort: number): Promise<string> =>
    eventually('the worker is known', () => {
      for (const event of room.events) {
        if (event.kind === 'opened' && event.address.endsWith(`:${localPort}`))
          return event.client.split('-')[0] ?? null;
      }
      return null;
    });
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const options = { ...trust, minVersion: version, maxVersion: version };
    const first = await handshake(view.port, options);
    assert.equal(first.resumed, false);
    const { session } = first;
    assert.ok(session !== null);
    const home = await workerOf(first.localPort);
    let elsewhere = 0;
    for (let i = 0; i < 40 && elsewhere < 3; i += 1) {
      const next = await handshake(view.port, { ...options, session });
      assert.equal(next.resumed, true);
      if ((await workerOf(next.localPort)) !== home) elsewhere += 1;
    }
    assert.equal(elsewhere, 3);
    await fleet.reload();
    assert.equal((await handshake(view.port, { ...options, session })).resumed, true);
  }
});

test('silent connections do not lock out those that speak, and a half-open one is cleaned up', async (t) => {
  const { fleet, view, trust } = await tlsRoom(t, 1);
  const silent: Socket[] = [];
  for (let i = 0; i < 400; i += 1) {
    const socket = connect({ host: '127.0.0.1', port: view.port });
    socket.on('error', () => {});
    silent.push(socket);
  }
  const started = performance.now();
  await handshake(view.port, trust);
  assert.ok(performance.now() - started < 1500);
  for (const socket of silent) socket.destroy();
  await eventually('all are counted as refused', async () => {
    const counts = (await fleet.counters()).databases[0]?.refused ?? {};
    return counts['tls-handshake-failed'] === 400;
  });
  // A client that closes its sending side still gets its replies.
  const half = await new RawClient(view.port, trust).ready();
  half.send('AUTH', TEST_PASSWORDS.default).send('PING');
  half.socket.end();
  await half.until('both replies', (c) => c.text === '+OK\r\n+PONG\r\n', MS);
  await half.until('the end', (c) => c.closed, MS);
});
