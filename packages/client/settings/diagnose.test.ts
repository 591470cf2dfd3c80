/** What diagnose() says is wrong, and what to do: each on a server that is so. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { testCertificates } from '../../engine/testing.ts';
import { type Diagnosis, diagnose, recommended } from '../index.ts';
import { ask, freePort, startServer, type TestServer } from '../testing/server.ts';
import { until } from '../testing/until.ts';

let folder: string;
let ca: string;
let caFile: string;
let server: TestServer;
let secure: TestServer;
let tlsPort: number;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cinnabar-diagnose-'));
  const made = await testCertificates(folder);
  caFile = made.caFile;
  ca = await readFile(caFile, 'utf8');
  tlsPort = await freePort();
  const tls = ['--tls-port', String(tlsPort), '--tls-auth-clients', 'no'];
  const files = ['--tls-cert-file', made.certFile, '--tls-key-file', made.keyFile];
  [server, secure] = await Promise.all([
    startServer(),
    startServer([
      ...[...tls, ...files, '--tls-ca-cert-file', made.caFile],
      // The address that such a node announces is not in its certificate.
      ...['--cluster-enabled', 'yes', '--cluster-announce-ip', '10.9.8.7'],
      ...['--cluster-port', String(await freePort()), '--bind', '127.0.0.1 127.0.0.2'],
    ]),
  ]);
  await ask(secure.port, 'CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  await until(async () => (await ask(secure.port, 'CLUSTER', 'INFO')).includes('state:ok'));
});
after(async () => {
  await Promise.all([server?.stop(), secure?.stop()]);
  await rm(folder, { recursive: true });
});

const codes = ({ problems }: Diagnosis): string[] => problems.map(({ code }) => code);

test('a healthy server on this machine: nothing to say', async () => {
  const found = await diagnose(server.url);
  assert.equal(found.error, null);
  assert.deepEqual(codes(found), []);
});

/** It cannot be had, and says so among the problems, which each have a remedy. */
async function faultOf(url: string, options?: { ca: string }): Promise<[string, string]> {
  const { reachable, error, problems } = await diagnose(url, options);
  assert.equal(reachable, false);
  const fault = problems.find(({ message }) => message === error);
  assert.ok(fault !== undefined, `${error} is not among ${JSON.stringify(problems)}`);
  assert.equal(problems.filter(({ code }) => code === fault.code).length, 1);
  for (const { message } of problems) assert.doesNotMatch(message, /\.:|undefined/);
  return [fault.code, fault.message];
}

test('TLS where there is none, and none where there is TLS', async () => {
  const [not, notWhy] = await faultOf(`rediss://127.0.0.1:${server.port}`);
  assert.equal(not, 'not-tls');
  assert.match(notWhy, /port \d+ does not speak TLS; use redis:\/\//);
  const [wants, why] = await faultOf(`redis://:key@127.0.0.1:${tlsPort}`);
  assert.equal(wants, 'wants-tls');
  assert.match(why, /port \d+ wants TLS; use rediss:\/\//);
});

test('a wrong port, a wrong name, and no server of this kind', async (t) => {
  assert.equal((await faultOf(`redis://127.0.0.1:${await freePort()}`))[0], 'nothing-listens');
  assert.equal((await faultOf('rediss://no-such-cache.invalid:10000'))[0], 'unknown-name');
  const other = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  other.listen(0, '127.0.0.1');
  await once(other, 'listening');
  t.after(() => other.close());
  const { port } = other.address() as AddressInfo;
  assert.equal((await faultOf(`redis://127.0.0.1:${port}`))[0], 'no-such-server');
});

test('no key where one is wanted, one where none is, and a wrong one', async (t) => {
  const locked = await startServer(['--requirepass', 'secret']);
  t.after(() => locked.stop());
  const [none, noneWhy] = await faultOf(`redis://:key@127.0.0.1:${server.port}`);
  assert.equal(none, 'wants-no-key');
  assert.match(noneWhy, /without any password.*: the server has none: leave it out/);
  const [wants, why] = await faultOf(locked.url);
  assert.equal(wants, 'wants-key');
  assert.match(
    why,
    /^NOAUTH.*: it wants an access key, and the address has none: rediss:\/\/:KEY@/,
  );
  assert.doesNotMatch(why, /rotated/);
  const [wrong, wrongWhy] = await faultOf(`redis://app:wrong@127.0.0.1:${locked.port}`);
  assert.equal(wrong, 'wrong-key');
  assert.match(wrongWhy, /^WRONGPASS.*disabled: fetch .*rotated, and is app its user\?/);
  assert.equal((await diagnose(`redis://:secret@127.0.0.1:${locked.port}`)).reachable, true);
});

test('a database that cannot be had, here and in a cluster', async () => {
  assert.deepEqual(codes(await diagnose(`${server.url}/3`)), []);
  assert.deepEqual(codes(await diagnose(`${server.url}/99`)), ['no-such-database']);
  const found = await diagnose(`redis://127.0.0.1:${secure.port}/3`);
  assert.deepEqual(codes(found), ['database-in-cluster']);
  await assert.rejects(diagnose(`${server.url}/mine`), { code: 'ERR_CLIENT_OPTION' });
});

test('certificates: not trusted, for another name, and nodes that it is not for', async () => {
  const [strange, why] = await faultOf(`rediss://:key@localhost:${tlsPort}`);
  assert.equal(strange, 'certificate');
  assert.match(why, /give the certificate of its CA/);
  const other = await diagnose(`rediss://:key@127.0.0.2:${tlsPort}`, { ca });
  assert.match(
    String(other.error),
    /altnames.*: connect by a name that the certificate is for: localhost/,
  );
  assert.deepEqual(codes(other), ['certificate']);
  const cluster = await diagnose(`rediss://localhost:${tlsPort}`, { ca });
  assert.equal(cluster.policy, 'OSSCluster');
  assert.deepEqual(codes(cluster), ['nodes-by-address']);
  assert.match(String(cluster.problems[0]?.message), /10\.9\.8\.7.*natMap/);
  assert.ok((cluster.upBytesPerSecond ?? 0) > 0);
});

test('a CA that is none: said before anything is done, and nothing of it shown', async () => {
  const wrong = (message: RegExp) => ({ code: 'ERR_CLIENT_OPTION', message });
  const where = { library: 'redis', policy: 'NoCluster', host: 'cache.example' } as const;
  for (const [given, message] of [
    ['/no/such/ca.pem', /ca must be the text of a certificate.*no file has that name/],
    [caFile, /ca must be .*got the name of a file: give what is in it, readFileSync/],
    ['-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----', /cannot be read/],
  ] as const) {
    await assert.rejects(diagnose(server.url, { ca: given }), wrong(message));
    assert.throws(() => recommended('cinnabar', { ...where, ca: given }), wrong(message));
  }
});

test("the name of a private link's zone is not the cache's", async () => {
  const found = await diagnose('rediss://:k@c.west.privatelink.redis.azure.invalid:10000');
  assert.match(String(found.problems[0]?.message), /connect to c\.west\.redis\.azure\.invalid/);
});
