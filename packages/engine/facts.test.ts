import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { knownRules, versionAtLeast } from './capabilities.ts';
import type { SlotRange } from './contract.ts';
import { EngineError } from './errors.ts';
import { clusterFacts, factsFrom, parseClients, parseInfo, parseNodes } from './facts.ts';

const INFO_VALKEY = `# Server\r
redis_version:7.2.4\r
server_name:valkey\r
valkey_version:9.1.2\r
# Replication\r
role:master\r
connected_slaves:2\r
slave0:ip=127.0.0.1,port=20001,state=online,offset=1498,lag=0,type=replica\r
slave1:ip=127.0.0.1,port=20002,state=wait_bgsave,offset=0,lag=0,type=replica\r
master_replid:0123456789abcdef0123456789abcdef01234567\r
master_repl_offset:1500\r
# Persistence\r
loading:0\r
rdb_last_load_keys_loaded:40\r
# Memory\r
used_memory:1048576\r
used_memory_startup:940000\r
mem_replication_backlog:20508\r
# Keyspace\r
db0:keys=12,expires=3,avg_ttl=0,keys_with_volatile_items=0\r
db9:keys=30,expires=0,avg_ttl=0\r
`;

const INFO_REPLICA = `redis_version:7.0.15\r
role:slave\r
master_host:127.0.0.1\r
master_port:20000\r
master_link_status:down\r
master_sync_in_progress:1\r
master_replid:fedcba9876543210fedcba9876543210fedcba98\r
master_repl_offset:9007199254740993000\r
loading:1\r
`;

test('a primary as INFO shows it', () => {
  assert.deepEqual(factsFrom(INFO_VALKEY, null), {
    role: 'primary',
    replicationId: '0123456789abcdef0123456789abcdef01234567',
    offset: 1500,
    link: 'up',
    syncing: false,
    loading: false,
    primaryHost: '',
    primaryPort: 0,
    followers: [{ port: 20001, offset: 1498 }],
    cluster: null,
    keys: 42,
    loadedKeys: 40,
    usedMemoryBytes: 1048576,
    idleMemoryBytes: 960508,
    version: 'valkey 9.1.2',
  });
});

test('a replica that is syncing, of another product', () => {
  const facts = factsFrom(INFO_REPLICA, null);
  assert.equal(facts.role, 'replica');
  assert.equal(facts.link, 'down');
  assert.equal(facts.syncing, true);
  assert.equal(facts.loading, true);
  assert.equal(facts.primaryPort, 20000);
  assert.equal(facts.version, 'redis 7.0.15');
  assert.throws(() => factsFrom('used_memory:1\r\n', null), EngineError);
});

const A = 'a'.repeat(40);
const B = 'b'.repeat(40);
const C = 'c'.repeat(40);
const NODES = `${A} 127.0.0.1:20000@20100,localhost,tls-port=20000,shard-id=${C} myself,master - 0 0 3 connected 0-99 101 200-16383 [100->-${B}] [300-<-${B}]
${B} 127.0.0.1:20001@20101,localhost slave,nofailover ${A} 0 1700000000000 3 connected
${C} :0@0 master,fail,noaddr - 1 1 1 disconnected
${'d'.repeat(40)} 127.0.0.1:1@2 handshake - 0 0 0 connected
`;

test('a cluster as its nodes list shows it', () => {
  const facts = clusterFacts('cluster_state:ok\r\ncluster_my_epoch:3\r\n', NODES);
  assert.equal(facts.myId, A);
  assert.equal(facts.state, 'ok');
  assert.equal(facts.epoch, 3);
  assert.deepEqual(facts.slots, [
    [0, 99],
    [101, 101],
    [200, 16383],
  ]);
  assert.deepEqual(
    facts.nodes.map(({ id, primaryId, epoch, failed }) => [id, primaryId, epoch, failed]),
    [
      [A, null, 3, false],
      [B, A, 3, false],
      [C, null, 1, true],
    ],
  );
  assert.equal(clusterFacts('', NODES).state, 'fail', 'not said to serve: does not');
  assert.throws(() => clusterFacts('', ''), EngineError);
});

test('whatever an engine writes in its lists is read back', () => {
  const id = fc.stringMatching(/^[0-9a-f]{40}$/);
  const range: fc.Arbitrary<SlotRange> = fc
    .tuple(fc.nat(16383), fc.nat(16383))
    .map(([x, y]): SlotRange => [Math.min(x, y), Math.max(x, y)]);
  const node = fc.record({
    id,
    primaryId: fc.option(id),
    epoch: fc.nat(1e9),
    slots: fc.array(range, { maxLength: 5 }),
    flags: fc.subarray(['myself', 'master', 'slave', 'fail?', 'fail', 'nofailover', 'noaddr']),
    host: fc.constantFrom('127.0.0.1', '::1', '', 'fe80::1%eth0'),
  });
  fc.assert(
    fc.property(fc.array(node, { maxLength: 8 }), (nodes) => {
      const text = nodes.map((each) => {
        const slots = each.slots.map(([a, b]) => (a === b ? `${a}` : `${a}-${b}`));
        return [
          each.id,
          `${each.host}:1@2,h`,
          each.flags.join(',') || 'noflags',
          each.primaryId ?? '-',
          0,
          1,
          each.epoch,
          'connected',
          ...slots,
        ].join(' ');
      });
      const parsed = parseNodes(`${text.join('\n')}\n`);
      assert.deepEqual(
        parsed.map(({ flags: _, ...rest }) => rest),
        nodes.map(({ flags: _f, host: _h, ...rest }) => rest),
      );
    }),
  );
});

test('no text makes the readers fail otherwise than by name', () => {
  const word = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.constantFrom(
      'role:',
      'master',
      'slave',
      'db0:keys=',
      'slave0:',
      'state=online,',
      'port=',
      '\r\n',
      '\n',
      ':',
      ',',
      '=',
      ' ',
      '-',
      'myself',
      A,
      '99999',
      '0-16384',
      '9'.repeat(30),
    ),
  );
  const text = fc.array(word, { maxLength: 40 }).map((words) => words.join(''));
  const quietly = (work: () => unknown): void => {
    try {
      work();
    } catch (error) {
      assert.ok(error instanceof EngineError, String(error));
    }
  };
  fc.assert(
    fc.property(text, text, (one, two) => {
      parseInfo(one);
      parseClients(one);
      parseNodes(one);
      quietly(() => factsFrom(one, null));
      quietly(() =>
        factsFrom(`role:master\r\n${one}`, {
          info: two,
          nodes: `${A} x myself,master - 0 0 1 c ${two}\n${one}`,
        }),
      );
    }),
    { numRuns: 3000 },
  );
});

test('clients are told apart by user and id', () => {
  const list =
    'id=7 addr=/run/x:0 fd=8 name= age=1 flags=N user=app lib-name= cmd=get\nid=12 name=a=b flags=O user=default\ngarbage\n';
  assert.deepEqual(parseClients(list), [
    { id: '7', user: 'app', flags: 'N', name: '', command: 'get' },
    { id: '12', user: 'default', flags: 'O', name: 'a=b', command: '' },
  ]);
});

test('rules keep what the engine knows', () => {
  const known = {
    commands: new Set(['get', 'select', 'config', 'config|get', 'config|set']),
    categories: new Set(['read', 'admin']),
  };
  const rules = [
    '~*',
    '&*',
    '%R~x',
    '+@all',
    '-@admin',
    '+@newer',
    '+GET',
    '+msetex',
    '-config',
    '+config|get',
    '+config|newer',
    '+select|0',
    '(+get ~y)',
    'allkeys',
  ];
  assert.deepEqual(knownRules(rules, known), [
    '~*',
    '&*',
    '%R~x',
    '+@all',
    '-@admin',
    '+GET',
    '-config',
    '+config|get',
    '+select|0',
    '(+get ~y)',
    'allkeys',
  ]);
});

test('versions compare by number', () => {
  assert.equal(versionAtLeast('10.0.0', 9), true);
  assert.equal(versionAtLeast('9.1.2', 9, 1), true);
  assert.equal(versionAtLeast('9.1.2', 9, 2), false);
  assert.equal(versionAtLeast('7.2.4', 9), false);
  assert.equal(versionAtLeast('unknown', 9), false);
});
