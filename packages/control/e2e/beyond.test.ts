/**
 * Beyond this machine: `--listen` and `--domain`, seen from a network namespace of its own where this
 * user may make one. Elsewhere the same clients run here and use a second loopback address, which
 * proves names, certificates and bindings, though not the way over a network.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Service } from './service.ts';

const DOMAIN = 'caches.example.org';
const POLICIES = ['OSSCluster', 'EnterpriseCluster', 'NoCluster'] as const;

interface Place {
  /** Our address as the client sees it. */
  readonly address: string;
  run(script: string, ...args: string[]): string;
  remove(): void;
}

/** A namespace with one link to us; null where that may not be made. */
function namespace(): Place | null {
  const name = `cnb${process.pid}`;
  const [ours, theirs] = ['10.203.117.1', '10.203.117.2'];
  const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' });
  const remove = () => {
    try {
      ip('netns', 'del', name);
    } catch {
      // It was never made.
    }
  };
  try {
    ip('netns', 'add', name);
    ip('link', 'add', `${name}a`, 'type', 'veth', 'peer', 'name', `${name}b`, 'netns', name);
    ip('addr', 'add', `${ours}/24`, 'dev', `${name}a`);
    ip('link', 'set', `${name}a`, 'up');
    ip('-n', name, 'addr', 'add', `${theirs}/24`, 'dev', `${name}b`);
    ip('-n', name, 'link', 'set', `${name}b`, 'up');
  } catch {
    remove();
    return null;
  }
  return {
    address: ours,
    run: (script, ...args) =>
      execFileSync('ip', ['netns', 'exec', name, process.execPath, script, ...args]).toString(),
    remove,
  };
}

function here(): Place {
  return {
    address: '127.0.0.2',
    run: (script, ...args) => execFileSync(process.execPath, [script, ...args]).toString(),
    remove: () => undefined,
  };
}

const place = namespace() ?? here();
const service = new Service({
  listen: [place.address],
  domain: DOMAIN,
  miniature: { memoryDivisor: 16, maxShards: 2 },
});
/** Connects by name, with that name's address as DNS would give it, and says what came back. */
const CLIENT = path.join(service.scratch, 'client.mjs');

before(async () => {
  await service.up();
  writeFileSync(
    CLIENT,
    `import tls from 'node:tls';
import { readFileSync } from 'node:fs';
const [, , address, name, port, caFile, ...lines] = process.argv;
const lookup = (_host, options, done) =>
  options.all ? done(null, [{ address, family: 4 }]) : done(null, address, 4);
const socket = tls.connect({ host: name, servername: name, port: Number(port), lookup, ca: readFileSync(caFile) });
socket.on('error', (error) => { console.log('error ' + error.code); process.exit(0); });
socket.on('secureConnect', () => socket.end(lines.map((line) => line + '\\r\\n').join('')));
socket.pipe(process.stdout);
`,
  );
});
after(async () => {
  await service.close();
  place.remove();
});

function ask(name: string, port: number, ...lines: string[]): string {
  const { caFile } = service.status;
  return place.run(CLIENT, place.address, name, String(port), caFile, ...lines);
}

for (const policy of POLICIES) {
  test(`${policy}: reached from ${place.address === '127.0.0.2' ? 'a second address' : 'another network'} by its name`, async () => {
    const name = policy.toLowerCase();
    await service.create(name, { database: { clusteringPolicy: policy } });
    const info = (await service.call('GET', `${service.database(name)}/connection`)).body;
    assert.equal(info.host, `${name}.local.${DOMAIN}`);
    const keys = await service.keys(name);
    const auth = `AUTH ${keys.primaryKey}`;
    assert.match(ask(info.host, info.port, auth, 'PING', 'QUIT'), /^\+OK\r\n\+PONG/);
    // The address itself is covered, a name that is not ours is not.
    assert.match(ask('stranger.example.org', info.port, 'PING'), /ERR_TLS_CERT_ALTNAME_INVALID/);

    if (policy !== 'OSSCluster') {
      const shards = (await service.call('GET', `${service.database(name)}/shards`)).body.value;
      const engine = shards[0].instances[0].instance.port;
      assert.match(ask(info.host, engine, 'PING'), /ECONNREFUSED/, 'its engines stay on loopback');
      return;
    }
    const slots = ask(info.host, info.port, auth, 'CLUSTER SLOTS', 'QUIT');
    assert.ok(slots.includes(info.host), slots);
    assert.ok(!slots.includes('localhost'), slots);
    for (const shard of info.shards) {
      assert.match(ask(info.host, shard.port, auth, 'PING', 'QUIT'), /^\+OK\r\n\+PONG/);
    }
  });
}

test('the API is there over HTTPS only, and it is said what is reachable', async () => {
  const { api, warnings, listen } = service.status;
  const secure = Number(new URL(api.https ?? '').port);
  const plain = Number(new URL(api.http ?? '').port);
  const line = `GET /cinnabar/status HTTP/1.1\r\nHost: ${DOMAIN}\r\nAuthorization: Bearer ${service.token}\r\nConnection: close\r\n`;
  assert.match(ask(DOMAIN, secure, line), /^HTTP\/1\.1 200/);
  assert.match(ask(DOMAIN, plain, line), /ECONNREFUSED/);
  assert.ok(listen.includes(place.address));
  assert.ok(warnings.some((text) => text.includes(place.address)));
  const made = await service.call('GET', '/cinnabar/events?top=200');
  assert.ok(!made.text.includes('listen-failed'), made.text);
  assert.ok(existsSync(service.status.caFile) && readFileSync(service.status.caFile).length > 0);
});
