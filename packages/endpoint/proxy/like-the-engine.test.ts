/**
 * What is easily said otherwise than the engine says it: before the login, in broken bytes, with replies
 * switched off, in MONITOR, to oneself. Each sequence goes to the endpoint over three shards, with two
 * workers, and to a bare engine: the same bytes back.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { encodeCommand } from '../../resp/index.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, startBare, startShards } from './testing-engines.ts';

/** Commands, or bytes as they are. */
type Step = string | Buffer;

const bytesOf = (step: Step): Buffer =>
  Buffer.isBuffer(step) ? step : encodeCommand(step.split(' '));
const raw = (text: string): Buffer => Buffer.from(text, 'latin1');

const BEFORE_LOGIN: readonly Step[][] = [
  ['NOSUCH a b'],
  ['GET'],
  ['GET a b'],
  ['CLIENT'],
  ['CLIENT NOSUCH'],
  ['CONFIG NOSUCH'],
  ['PING'],
  ['EXEC'],
  ['EXEC x'],
  ['DISCARD'],
  ['SUBSCRIBE c'],
  ['MONITOR'],
  ['RESET', 'PING'],
  ['RESET x'],
  ['HELLO'],
  ['HELLO 4'],
  ['HELLO 03'],
  ['HELLO x'],
  ['HELLO 3 FOO'],
  ['HELLO 3 SETNAME'],
  ['AUTH'],
  ['AUTH a b c'],
  [raw('"a"b\r\n')],
  [raw('""\r\n')],
];

/** These end the connection. */
const BROKEN: readonly Step[][] = [
  [raw('*x\r\n')],
  [raw('*\r\n')],
  [raw('*-0\r\n')],
  [raw('*01\r\n$4\r\nPING\r\n')],
  [raw('*2147483648\r\n')],
  [raw(`*${'1'.repeat(70_000)}`)],
  [raw('*1\r\n+PING\r\n')],
  [raw('*1\r\n\xffPING\r\n')],
  [raw('*1\r\n\rPING\r\n')],
  [raw('*1\r\n$x\r\n')],
  [raw('*1\r\n$-1\r\n')],
  [raw('*1\r\n$536870913\r\n')],
  [raw(`*1\r\n$${'1'.repeat(70_000)}`)],
  [raw('*1\r\n$4\r\nPINGxx')],
  [raw('SET a "b\r\n')],
  [raw("SET a 'b\r\n")],
  [raw('x'.repeat(200_000))],
  ['SET q 1', 'GET q', raw('*1\r\n:\r\n')],
];

/** RESP2 and RESP3, logged in. */
const SEQUENCES: readonly Step[][] = [
  // To oneself: the answer, the message, the next answer.
  ['SUBSCRIBE c', 'PUBLISH c m', 'PING', 'PUBLISH c n', 'GET x', 'PING'],
  ['PSUBSCRIBE c*', 'SUBSCRIBE c1', 'PUBLISH c1 m', 'PUBLISH other m', 'PING'],
  ['SSUBSCRIBE c', 'SPUBLISH c m', 'PING'],
  ['SUBSCRIBE c', 'MULTI', 'PUBLISH c m', 'SET a 1', 'EXEC', 'PING'],
  ['SUBSCRIBE c', 'CLIENT REPLY SKIP', 'PUBLISH c d', 'PING', 'PING'],
  // Confirmations are messages: they come to who wants no replies.
  ['CLIENT REPLY OFF', 'SUBSCRIBE c d c', 'PING', 'UNSUBSCRIBE c', 'UNSUBSCRIBE', 'UNSUBSCRIBE'],
  ['CLIENT REPLY OFF', 'PSUBSCRIBE c*', 'SSUBSCRIBE q', 'PUNSUBSCRIBE', 'SUNSUBSCRIBE', 'PING'],
  ['CLIENT REPLY SKIP', 'SUBSCRIBE c d', 'PING', 'PING'],
  ['CLIENT REPLY OFF', 'SUBSCRIBE c', 'PUBLISH c x', 'CLIENT REPLY ON', 'PING'],
  // Whoever watches may do all that is not about keys, and sees it.
  ['MONITOR', 'SUBSCRIBE c', 'PING', 'UNSUBSCRIBE c', 'GET x'],
  ['SUBSCRIBE c', 'MONITOR', 'PING'],
  ['MONITOR', 'MONITOR', 'PING'],
  ['MONITOR', 'PSUBSCRIBE c', 'UNSUBSCRIBE', 'PUNSUBSCRIBE'],
  [
    'MONITOR',
    'GET x',
    'SET x 1',
    'DBSIZE',
    'KEYS *',
    'MGET a b',
    'PUBLISH a b',
    'EVAL return(1) 0',
  ],
  ['MONITOR', 'ECHO x', 'CLIENT GETNAME', 'SELECT 0', 'WAIT 0 1', 'WATCH x', 'UNWATCH', 'NOSUCH'],
  ['MONITOR', `AUTH ${KEY}`, `AUTH default ${KEY}`, 'COMMAND COUNT', 'PUBSUB NUMPAT', 'EXEC'],
  ['MONITOR', 'CLIENT REPLY OFF', 'PING', 'CLIENT REPLY ON', 'PING'],
  ['MONITOR', 'MULTI', 'GET x', 'EXEC'],
  ['MULTI', 'MONITOR', 'EXEC'],
  // An EXEC that is not taken ends its MULTI.
  ['EXEC x'],
  ['MULTI', 'EXEC x', 'EXEC'],
  ['WATCH a', 'MULTI', 'EXEC x', 'SET a 1', 'MULTI', 'GET a', 'EXEC'],
  ['SUBSCRIBE c', 'MULTI', 'GET x', 'EXEC', 'UNSUBSCRIBE c'],
  // Numbers, as the engine reads them.
  ['SELECT 00', 'SELECT -0', 'SELECT 2147483648', 'SELECT 99999999999999999999', 'SELECT -1'],
  ['SCAN 18446744073709551616', 'SCAN 99999999999999999999', 'SCAN -1', 'SCAN 1x', 'SCAN 0x1'],
  ['WAIT 1 x', 'WAIT x 1', 'WAIT -1 1', 'WAIT 01 1', 'WAIT 1 -1', 'WAIT 0 9223372036854775807'],
  [
    'WAITAOF x 0 0',
    'WAITAOF -1 0 0',
    'WAITAOF 2 0 0',
    'WAITAOF 0 x 0',
    'WAITAOF 0 -1 0',
    'WAITAOF 0 0 x',
  ],
  ['CLIENT KILL ID x', 'CLIENT KILL ID 0', 'CLIENT KILL MAXAGE -1', 'CLIENT KILL MAXAGE x'],
  ['CLIENT KILL USER nosuch', 'CLIENT LIST USER nosuch', 'CLIENT LIST ID x'],
  ['PUBSUB CHANNELS a b', 'PUBSUB shardchannels a b'],
  // Quotes wherever in an argument; a line may be longer than 64 KB if its end comes with it.
  [
    raw(
      'ECHO a"b"c\r\nECHO "a""b"\r\nECHO \'a\'"b"\r\nECHO a\'b c\'d\r\nECHO """"\r\nECHO a\x0bb\r\n',
    ),
  ],
  [raw(`ECHO ${'x'.repeat(65_530)}\r\n`)],
  [raw('NOS\xdcCH \xe9\r\n'), raw('*2\r\n$5\r\nGET\0x\r\n$3\r\na\0b\r\n'), 'CLIENT F\0O'],
];

/** How often it is asked again at most. */
const LOST_WORDS = 20;

test('three shards and two workers answer as a bare engine', async (t) => {
  const { shards, views } = await startShards(t, 3);
  const bare = await startBare(t);
  await bare.link.command(['ACL', 'SETUSER', 'default', '+@all'], 3000);
  const running = await startProxy({
    shards: views,
    keys: { default: KEY },
    twins: { default: { name: 'endpoint', password: 'endpoint-password' } },
    workers: 2,
  });
  t.after(() => running.close());

  const normal = (bytes: Buffer): string =>
    bytes
      .toString('latin1')
      .replace(/\+\d{10}\.\d{6} \[0 [^\]]*\]/g, '+time [0 address]')
      .replace(/(\$2\r\nid\r\n):\d+/g, '$1:n');
  type Run = (client: RawClient) => Promise<Buffer>;
  const one = async (at: number | string, run: Run): Promise<string> => {
    const client = await RawClient.connect(at);
    const answer = normal(await run(client));
    client.close();
    return answer;
  };
  const both = async (name: string, run: Run, lastWords = ''): Promise<void> => {
    const [ours, first] = await Promise.all([one(running.port, run), one(bare.launch.socket, run)]);
    // An engine that closes a connection with bytes of it unread may take its last words with it.
    let theirs = first;
    for (let i = 0; i < LOST_WORDS && !theirs.includes(lastWords); i++) {
      theirs = await one(bare.launch.socket, run);
    }
    assert.equal(ours, theirs, name);
  };
  const nameOf = (steps: readonly Step[]): string =>
    steps.map((step) => step.toString('latin1').slice(0, 60)).join(' | ');

  await t.test('before the login', async () => {
    for (const steps of BEFORE_LOGIN) {
      await both(nameOf(steps), async (client) => {
        client.socket.write(Buffer.concat(steps.map(bytesOf)));
        client.send(['AUTH', KEY]);
        return await client.settled();
      });
    }
  });

  for (const login of [false, true]) {
    await t.test(`broken bytes, ${login ? 'logged in' : 'before the login'}`, async () => {
      for (const steps of BROKEN) {
        await both(
          nameOf(steps),
          async (client) => {
            if (login) client.send(['AUTH', KEY]);
            client.socket.write(Buffer.concat(steps.map(bytesOf)));
            await eventually(`${nameOf(steps)}: closed`, () => client.closed);
            return client.received;
          },
          'Protocol error',
        );
      }
    });
  }

  for (const protocol of ['2', '3']) {
    await t.test(`sequences, RESP${protocol}`, async () => {
      for (const steps of SEQUENCES) {
        await both(`RESP${protocol}: ${nameOf(steps)}`, async (client) => {
          client.send(['AUTH', KEY], ['HELLO', protocol]);
          client.socket.write(Buffer.concat(steps.map(bytesOf)));
          // Whatever state that has left.
          client.send(['RESET'], ['AUTH', KEY]);
          return await client.settled();
        });
      }
    });
  }

  await t.test('messages to oneself, while others begin to listen and end', async () => {
    const clients = await Promise.all([1, 2, 3].map(() => RawClient.open(running.port, 3)));
    const own = /:1\r\n>3\r\n\$7\r\nmessage\r\n\$2\r\n..\r\n\$1\r\nx\r\n\+PONG\r\n/g;
    for (let round = 0; round < 100; round++) {
      const answers = await Promise.all(
        clients.map((client, i) => {
          const unit = [
            ['SUBSCRIBE', `${i}a`, `${i}b`],
            ['PUBLISH', `${i}a`, 'x'],
            ['PING'],
            ['UNSUBSCRIBE'],
          ];
          client.send(...unit, ['GET', 'x'], ...unit);
          return client.settled();
        }),
      );
      for (const answer of answers) assert.equal(answer.toString().match(own)?.length, 2);
    }
    for (const client of clients) client.close();
  });

  await t.test('SELECT in a MULTI says what it says outside', async () => {
    const a = await RawClient.open(running.port);
    for (const database of ['3', '99', 'x', '0']) {
      const outside = await a.ask('SELECT', database);
      a.send(['MULTI'], ['SELECT', database], ['EXEC']);
      assert.equal((await a.settled()).toString(), `+OK\r\n+QUEUED\r\n*1\r\n${outside}`);
    }
    a.close();
  });

  await t.test('the slow log says nothing of the way to the engine', async () => {
    const a = await RawClient.open(running.port);
    for (const { primary } of shards) {
      await primary.link.command(['CONFIG', 'SET', 'slowlog-log-slower-than', '0'], 3000);
    }
    assert.equal(await a.ask('SET', 'slowly', '1'), '+OK\r\n');
    const log = await a.ask('SLOWLOG', 'GET', '-1');
    assert.match(log, /\r\nslowly\r\n/);
    assert.doesNotMatch(log, /sock/);
    assert.match(log, /\$3\r\n\?:0\r\n\$0\r\n\r\n/);
    a.close();
  });
});
