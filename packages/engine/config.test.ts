/** What is written for an engine, and that a real engine reads exactly that. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { aclFile } from './acl.ts';
import { FILES, launchFiles, settingName } from './config.ts';
import type { ClusterMember, EngineLaunch } from './contract.ts';
import { EngineError } from './errors.ts';
import { epochOf, nodesConf } from './nodes-conf.ts';
import { quote } from './quote.ts';
import { engineRoom, testEngine, testUser, testUsers } from './testing.ts';

const MS = 2000;
const EVERYTHING = { commands: new Set<string>(), categories: new Set<string>() };

/** How engines split a line of their configuration: an own reading of their rules, as the oracle. */
function split(line: string): Buffer[] {
  const tokens: Buffer[] = [];
  const bytes = Buffer.from(line, 'latin1');
  let at = 0;
  while (at < bytes.length) {
    if (bytes[at] === 32) {
      at++;
      continue;
    }
    const token: number[] = [];
    if (bytes[at] !== 34) {
      while (at < bytes.length && bytes[at] !== 32) token.push(bytes[at++] ?? 0);
    } else {
      for (at++; bytes[at] !== 34; at++) {
        assert.ok(at < bytes.length, 'a quote that never ends');
        if (bytes[at] !== 92) token.push(bytes[at] ?? 0);
        else if (bytes[at + 1] === 120) {
          token.push(Number.parseInt(bytes.toString('latin1', at + 2, at + 4), 16));
          at += 3;
        } else token.push(bytes[++at] ?? 0);
      }
      at++;
      assert.ok(at === bytes.length || bytes[at] === 32, 'a quote that ends inside of a word');
    }
    tokens.push(Buffer.from(token));
  }
  return tokens;
}

test('any value is one token, and the same one, to an engine', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' }), { minLength: 1 }), (raw) => {
      const values = raw.map((value) => value.replaceAll('\0', ''));
      const line = values.map(quote).join(' ');
      assert.match(line, /^[\x20-\x7e]*$/, 'one line of plain characters');
      assert.deepEqual(
        split(line),
        values.map((value) => Buffer.from(value)),
      );
    }),
    { numRuns: 2000 },
  );
  assert.throws(() => quote('a\0b'), EngineError);
});

test('a real engine reads odd values back as they were meant', async (t) => {
  const room = await engineRoom(t);
  const nasty = [
    'pass word',
    '"',
    "it's",
    '\\x41',
    'tab\there',
    'line\nbreak\r',
    'ünï – 漢字 🙂',
    '#not a comment',
    ' lead and trail ',
    '$HOME `id` %s',
  ].join('|');
  const plain = await room.launch();
  const launch: EngineLaunch = {
    ...plain,
    dataDir: join(room.folder, 'data', 'with blank "quote" ünï'),
    replicationPassword: nasty,
    users: [
      ...testUsers(),
      testUser('ünï"q\\', 'odd-password', ['~a"b\\*', '&*', '+@all', "(+get ~'x)"]),
    ],
    settings: {
      save: '3600 1 300 100',
      'client-output-buffer-limit':
        'normal 1048576 0 0 replica 2097152 1048576 60 pubsub 33554432 8388608 60',
      'notify-keyspace-events': 'KEA',
      maxmemory: '100mb',
      'oom-score-adj-values': '0 200 800',
    },
  };
  const { link } = await room.start(launch);
  const names = [
    'primaryauth',
    'dir',
    'save',
    'client-output-buffer-limit',
    'maxmemory',
    'bind',
    'tls-protocols',
    'port',
    'tls-port',
    'timeout',
    'busy-reply-threshold',
    'appendonly',
    'unixsocketperm',
    'oom-score-adj-values',
    'enable-debug-command',
    'enable-module-command',
    'tls-auth-clients',
    'tls-replication',
    'tls-cluster',
  ];
  const read = await link.readSettings(names, MS);
  assert.deepEqual(read, {
    primaryauth: nasty,
    dir: launch.dataDir,
    save: '3600 1 300 100',
    'client-output-buffer-limit':
      'normal 1048576 0 0 slave 2097152 1048576 60 pubsub 33554432 8388608 60',
    maxmemory: String(100 * 1024 ** 2),
    bind: '127.0.0.1 -::1',
    'tls-protocols': 'TLSv1.2 TLSv1.3',
    port: '0',
    'tls-port': String(launch.port),
    timeout: '0',
    'busy-reply-threshold': '200',
    appendonly: 'no',
    unixsocketperm: '600',
    'oom-score-adj-values': '0 200 800',
    'enable-debug-command': 'no',
    'enable-module-command': 'no',
    'tls-auth-clients': 'no',
    'tls-replication': 'yes',
    'tls-cluster': 'yes',
  });
  const odd = await room.node.link(
    launch.socket,
    { user: 'ünï"q\\', password: 'odd-password' },
    MS,
  );
  assert.equal(await odd.command(['SET', 'a"b*', '1'], MS), 'OK');
  assert.match(String(await odd.command(['SET', 'other', '1'], MS)), /^NOPERM/);
  odd.close();
  assert.deepEqual(
    (await room.node.find()).map((found) => found.dataDir),
    [launch.dataDir],
  );
  for (const name of [FILES.config, FILES.users, FILES.claim]) {
    const text = readFileSync(join(launch.dataDir, name), 'utf8');
    if (name !== FILES.config) assert.doesNotMatch(text, /pass word|-password/, name);
  }
});

test('without a default user in the launch, nobody can come in without a name', async (t) => {
  const room = await engineRoom(t);
  const users = testUsers().filter((user) => user.name !== 'default');
  const { link, launch } = await room.start(await room.launch({ users }));
  assert.match(String(await link.command(['ACL', 'GETUSER', 'default'], MS)), /off/);
  await assert.rejects(
    room.node.link(launch.socket, { user: 'default', password: '' }, MS),
    /WRONGPASS/,
  );
});

test('what binds cannot be set, what is unknown is left out and said', async () => {
  const { capabilities } = await testEngine();
  const launch = fakeLaunch();
  for (const name of ['port', 'dir', 'aclfile', 'tls-cluster', 'replicaof', 'unixsocket']) {
    if (name === 'replicaof') continue;
    assert.throws(
      () => launchFiles({ ...launch, settings: { [name]: 'x' } }, capabilities),
      (error) => error instanceof EngineError && error.code === 'setting-reserved',
      name,
    );
  }
  const files = launchFiles(
    { ...launch, settings: { 'setting-of-the-future': '1' } },
    capabilities,
  );
  assert.deepEqual(files.leftOut, ['setting-of-the-future']);
  assert.throws(() => settingName('bad name\nport 1', capabilities), EngineError);
  const overridden = launchFiles(
    { ...launch, settings: { 'cluster-replica-no-failover': 'no' } },
    capabilities,
  );
  assert.match(overridden.config, /^cluster-replica-no-failover no$/m);
});

test('an older engine gets older names; one without TLS is refused', () => {
  const launch = fakeLaunch();
  const settings = [
    'aclfile',
    'unixsocket',
    'tls-port',
    'tls-cluster',
    'tls-replication',
    'masterauth',
    'masteruser',
    'port',
    'slowlog-log-slower-than',
  ];
  const old = {
    name: 'redis' as const,
    version: '7.0.15',
    settings: new Set(settings),
    ...EVERYTHING,
  };
  const files = launchFiles(
    { ...launch, settings: { 'commandlog-execution-slower-than': '5' } },
    old,
  );
  assert.match(files.config, /^masterauth /m);
  assert.match(files.config, /^slowlog-log-slower-than 5$/m);
  assert.doesNotMatch(files.config, /primaryauth|dual-channel/);
  assert.ok(files.leftOut.includes('dual-channel-replication-enabled'));
  assert.doesNotMatch(files.nodes?.text ?? '', /shard-id/);
  const bare = { ...old, settings: new Set(settings.filter((name) => !name.startsWith('tls-'))) };
  assert.throws(
    () => launchFiles(launch, bare),
    (error) =>
      error instanceof EngineError &&
      error.code === 'engine-unfit' &&
      /tls-port/.test(error.message),
  );
});

test('members that cannot be are refused before an engine believes them', () => {
  const a = 'a'.repeat(40);
  const b = 'b'.repeat(40);
  const primary: ClusterMember = {
    id: a,
    host: '127.0.0.1',
    port: 1,
    busPort: 2,
    primaryId: null,
    epoch: 7,
    slots: [
      [0, 5],
      [7, 7],
    ],
  };
  const replica: ClusterMember = {
    id: b,
    host: '127.0.0.1',
    port: 3,
    busPort: 4,
    primaryId: a,
    epoch: 7,
    slots: [],
  };
  assert.equal(
    nodesConf([primary, replica], b, false, 'localhost'),
    `${a} 127.0.0.1:1@2 master - 0 0 7 connected 0-5 7\n${b} 127.0.0.1:3@4 myself,slave ${a} 0 0 7 connected\nvars currentEpoch 7 lastVoteEpoch 0\n`,
  );
  assert.equal(epochOf(nodesConf([primary], a, true, 'localhost')), 7);
  assert.equal(epochOf('rubbish'), null);
  const refused = (members: ClusterMember[], myself: string): void => {
    assert.throws(
      () => nodesConf(members, myself, false, 'localhost'),
      (error) => error instanceof EngineError && error.code === 'bad-members',
    );
  };
  refused([primary], b);
  refused([primary, primary], a);
  refused([primary, { ...replica, primaryId: b }], a);
  refused([primary, { ...replica, slots: [[8, 9]] }], a);
  refused([primary, { ...replica, primaryId: null, slots: [[5, 9]] }], a);
  refused([{ ...primary, slots: [[0, 16384]] }], a);
  refused([{ ...primary, host: 'localhost' }], a);
  refused([{ ...primary, id: 'x' }], 'x');
});

test('the ACL file says off for a default user that nobody wants', () => {
  assert.match(aclFile([], EVERYTHING), /^user default off -@all$/m);
  assert.doesNotMatch(aclFile([testUser('default', 'x', [])], EVERYTHING), /off/);
  for (const rule of ['~a b', '~a\nuser default on nopass +@all ~*', '', '(+get ~a\n)']) {
    assert.throws(
      () => aclFile([testUser('u', 'x', [rule])], EVERYTHING),
      (error) => error instanceof EngineError && error.code === 'bad-rule',
    );
  }
});

function fakeLaunch(): EngineLaunch {
  const id = 'a'.repeat(40);
  return {
    instance: id,
    dataDir: '/nowhere',
    socket: '/nowhere/s',
    host: '127.0.0.1',
    port: 1,
    busPort: 2,
    announceHost: 'localhost',
    role: {
      kind: 'cluster',
      members: [
        { id, host: '127.0.0.1', port: 1, busPort: 2, primaryId: null, epoch: 1, slots: [] },
      ],
      myself: id,
    },
    load: 'nothing',
    tls: { certFile: '/c', keyFile: '/k', caFile: '/a', generation: 1 },
    users: [],
    replicationPassword: 'x',
    settings: {},
  };
}
