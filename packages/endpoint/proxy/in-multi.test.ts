/** Any command in a MULTI, also those that no engine answers here: as in a bare engine. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { encodeCommand } from '../../resp/index.ts';
import { FULL_BOUNDS, RequestScanner } from '../../resp/scan-request.ts';
import { DIFFERENCES, EXAMPLES } from './examples.ts';
import { splitArray } from './raw-reply.ts';
import { nodeSlot } from './route.ts';
import { evenShards, type RunningProxy, startProxy } from './testing.ts';
import { KEY, RawClient, startBare, startShards } from './testing-engines.ts';

/** More of them than are executed here in one turn of the event loop. */
const MANY = 2000;
const QUEUED = '+QUEUED\r\n';
/** They leave the MULTI, or may not stand in one. */
const OUTSIDE = new Set(['multi', 'exec', 'discard', 'watch', 'quit', 'reset']);

async function inMulti(client: RawClient, ...commands: string[][]): Promise<Buffer> {
  client.send(['MULTI'], ...commands, ['EXEC']);
  return client.settled();
}

/** What EXEC answered, when all was queued. */
function answerOf(reply: Buffer, commands: number): string {
  const text = reply.toString('latin1');
  const head = `+OK\r\n${QUEUED.repeat(commands)}`;
  assert.equal(text.slice(0, head.length), head);
  return text.slice(head.length);
}

async function open(t: TestContext, running: RunningProxy, protocol: 2 | 3): Promise<RawClient> {
  const client = await RawClient.open(running.port, protocol);
  t.after(() => client.close());
  return client;
}

for (const [count, workers] of [
  [1, 1],
  [3, 2],
] as const) {
  test(`in a MULTI, ${count} shards, ${workers} workers`, async (t) => {
    const { shards, views } = await startShards(t, count);
    const bare = await startBare(t);
    const running = await startProxy({ shards: views, keys: { default: KEY }, workers });
    t.after(() => running.close());
    const first = await open(t, running, 2);
    await first.ask('GET', 'a');
    const table = running.proxy.table ?? assert.fail();

    for (const protocol of count === 1 ? ([2] as const) : ([2, 3] as const)) {
      await t.test(`every example, RESP${protocol}`, async (t) => {
        const ours = await open(t, running, protocol);
        const theirs = await RawClient.open(bare.launch.socket, protocol);
        t.after(() => theirs.close());
        await ours.ask('FLUSHALL');
        await theirs.ask('FLUSHALL');
        const unlike: string[][] = [];
        for (const line of EXAMPLES) {
          const words = line.split(' ');
          const whole = encodeCommand(words);
          const args = new RequestScanner();
          args.scan(whole, 0, whole.length, FULL_BOUNDS);
          const root = table.find(whole, args.starts[0] ?? 0, args.ends[0] ?? 0);
          const sub = args.count < 2 ? null : root?.subcommands;
          const command = sub?.find(whole, args.starts[1] ?? 0, args.ends[1] ?? 0) ?? root;
          assert.ok(command !== null, line);
          if (OUTSIDE.has(command.name) || command.noMulti) continue;
          // Keys of several slots are one of the endpoint's additions, outside of a MULTI only.
          if (nodeSlot(command, whole, args) === -2) continue;
          const some = [['ECHO', 'before'], words, ['PING', 'behind']];
          const [a, b] = await Promise.all([inMulti(ours, ...some), inMulti(theirs, ...some)]);
          if (a.toString().includes('\r\n-EXECABORT')) {
            // What this user may not do.
            assert.match(await ours.ask(...words), /^-NOPERM/, line);
          } else if (DIFFERENCES[command.name] !== undefined) {
            const [before, its, behind] = splitArray(Buffer.from(answerOf(a, 3), 'latin1'));
            const around = `${before?.toString()}${behind?.toString()}`;
            assert.equal(around, '$6\r\nbefore\r\n$6\r\nbehind\r\n', line);
            assert.ok(its !== undefined, line);
          } else if (!a.equals(b)) unlike.push([line, a.toString('latin1'), b.toString('latin1')]);
        }
        assert.deepEqual(unlike, []);
      });

      await t.test(`what depends on what stands before it, RESP${protocol}`, async (t) => {
        const ours = await open(t, running, protocol);
        const theirs = await RawClient.open(bare.launch.socket, protocol);
        t.after(() => theirs.close());
        const alike = async (what: string, ...commands: string[][]): Promise<void> => {
          ours.send(...commands);
          theirs.send(...commands);
          const [a, b] = await Promise.all([ours.settled(), theirs.settled()]);
          assert.equal(a.toString('latin1'), b.toString('latin1'), what);
        };
        const multi = (...commands: string[][]): string[][] => [['MULTI'], ...commands, ['EXEC']];
        const keys = Array.from({ length: 30 }, (_, i) => ['SET', `k${i}`, 'v']);
        await alike(
          'a flush within',
          ...keys,
          ...multi(['FLUSHALL'], ['SET', '{a}', '1'], ['DBSIZE'], ['KEYS', '*']),
        );
        await alike('what is left', ['DBSIZE'], ['GET', '{a}']);
        await alike(
          'counts on the way',
          ...multi(['DBSIZE'], ['SET', '{a}b', '1'], ['DBSIZE'], ['DEL', '{a}b'], ['DBSIZE']),
        );
        const name = (to: string): string[][] => [
          ['CLIENT', 'SETNAME', to],
          ['CLIENT', 'GETNAME'],
        ];
        await alike(
          'one behind the other',
          ...multi(...name('x')),
          ['CLIENT', 'GETNAME'],
          ...multi(...name('y'), ['GET', 'a']),
          ['GET', 'a'],
          ['CLIENT', 'GETNAME'],
        );
        await alike('discarded', ['MULTI'], ...name('z'), ['DISCARD'], ['CLIENT', 'GETNAME']);
        await alike('spoiled', ['MULTI'], ...name('z'), ['GET'], ['EXEC'], ['CLIENT', 'GETNAME']);
        await alike(
          'watched',
          ['WATCH', 'w'],
          ['SET', 'w', '1'],
          ...multi(...name('z'), ['DBSIZE']),
          ['CLIENT', 'GETNAME'],
        );
        await alike(
          'watched in vain',
          ['WATCH', 'w'],
          ...multi(['CLIENT', 'GETNAME'], ['PUBLISH', 'w', 'x']),
        );
        await alike(
          'watched, a message',
          ['WATCH', 'w'],
          ['SET', 'w', '1'],
          ...multi(['PUBLISH', 'w', 'x']),
        );
        const reply = (how: string): string[] => ['CLIENT', 'REPLY', how];
        await alike('no reply', reply('OFF'), ...multi(...name('n'), ['DBSIZE']), reply('ON'));
        await alike('but done', ['CLIENT', 'GETNAME']);
        const many = Array.from({ length: MANY }, () => ['CLIENT', 'GETNAME']);
        await alike('many', ...multi(['GET', 'a'], ...many, ['GET', 'a']), ['CLIENT', 'GETNAME']);
        await alike('not queued', ...multi(['CLIENT', 'REPLY', 'OFF']));
        await alike('never', ...multi(['SSUBSCRIBE', 'a'], ['PING']));
        await alike(
          'scripts',
          ...multi(
            ['SCRIPT', 'LOAD', 'return 9'],
            ['SCRIPT', 'EXISTS', 'a'.repeat(40)],
            ['GET', 'a'],
          ),
        );
        await alike(
          'errors',
          ...multi(['CLIENT', 'SETNAME', 'a b'], ['CLIENT', 'NOSUCH'], ['GET', 'a']),
        );
        await alike(
          'errors in it',
          ...multi(['CLIENT', 'SETNAME', 'a b'], ['SELECT', 'x'], ['GET', 'a']),
        );
        await alike('another protocol', ['HSET', 'h', 'f', 'v'], ['HSET', '{h}', 'f', 'v']);
        const [a, b] = await Promise.all(
          [ours, theirs].map((client) =>
            inMulti(
              client,
              ['HGETALL', 'h'],
              ['HELLO', '3', 'SETNAME', 'n'],
              ['HGETALL', 'h'],
              ['CLIENT', 'GETNAME'],
            ),
          ),
        );
        const own = (reply: Buffer | undefined): string[] =>
          splitArray(Buffer.from(answerOf(reply ?? Buffer.alloc(0), 4), 'latin1'))
            .map((each) => each.toString('latin1'))
            .filter((_, i) => i !== 1);
        assert.deepEqual(own(a), own(b));
        assert.match(a?.toString('latin1') ?? '', /\r\n%7\r\n\$6\r\nserver\r\n/);
        // The connection to the engine is others', too, and speaks as it did.
        const plain = await open(t, running, 2);
        assert.equal(await plain.ask('HGETALL', 'h'), '*2\r\n$1\r\nf\r\n$1\r\nv\r\n');
        await alike(
          'subscriptions',
          ...multi(
            ['SUBSCRIBE', 'c1', 'c2'],
            ['PUBSUB', 'NUMSUB', 'c1'],
            ['PING'],
            ['UNSUBSCRIBE', 'c1'],
          ),
          ['PING'],
          ['UNSUBSCRIBE'],
          ['PING'],
        );
      });
    }

    await t.test('messages come between replies, not within one', async (t) => {
      const a = await open(t, running, 3);
      const b = await open(t, running, 3);
      await a.ask('SUBSCRIBE', 'news');
      const many = Array.from({ length: 200 }, () => ['PUBLISH', 'news', 'm']);
      b.send(...many);
      a.send(
        ['MULTI'],
        ['CLIENT', 'LIST'],
        ['PUBSUB', 'NUMSUB', 'news'],
        ['DBSIZE'],
        ['CLIENT', 'LIST'],
        ['EXEC'],
      );
      const all = Buffer.concat([await a.settled()]);
      await b.settled();
      const at = all.indexOf('*4\r\n');
      const [exec = Buffer.alloc(0), ...more] = splitArray(
        Buffer.concat([Buffer.from('*2\r\n'), all.subarray(at)]),
      );
      const elements = splitArray(exec);
      assert.equal(elements.length, 4);
      assert.equal(elements[1]?.toString(), '*2\r\n$4\r\nnews\r\n:1\r\n');
      for (const each of more) assert.equal(String.fromCharCode(each[0] ?? 0), '>');
    });

    await t.test('a client that has closed its side is answered', async (t) => {
      const a = await open(t, running, 2);
      a.send(['MULTI'], ['CLIENT', 'LIST'], ['DBSIZE'], ['EXEC']);
      a.socket.end();
      await eventually('answered', () => /\*2\r\n\$.*\r\n:\d+\r\n$/s.test(a.received.toString()));
      await eventually('closed', () => a.socket.destroyed);
    });

    await t.test('a lost shard: nothing of it was done here', async (t) => {
      const a = await open(t, running, 2);
      const pid = shards[0]?.primary.process.pid ?? assert.fail();
      process.kill(pid, 'SIGSTOP');
      a.send(
        ['MULTI'],
        ['CLIENT', 'SETNAME', 'lost'],
        ['SPUBLISH', '{06S}', 'x'],
        ['INCR', '{06S}'],
        ['EXEC'],
        ['CLIENT', 'GETNAME'],
      );
      await eventually('in flight', () => running.inFlight() > 0);
      process.kill(pid, 'SIGKILL');
      await eventually('answered', () =>
        /-OUTCOMEUNKNOWN .*\r\n\$-1\r\n$/.test(a.received.toString()),
      );
    });
  });
}

test('SELECT in a MULTI, with one engine that has several databases', async (t) => {
  const [bare, behind] = await Promise.all([startBare(t), startBare(t)]);
  const shards = evenShards([behind.launch.socket]);
  const running = await startProxy({ shards, keys: { default: KEY }, policy: 'NoCluster' });
  t.after(() => running.close());
  const ours = await open(t, running, 2);
  const theirs = await RawClient.open(bare.launch.socket, 2);
  t.after(() => theirs.close());
  const all = [
    ['SET', 'k', 'zero'],
    ['MULTI'],
    ['SELECT', '3'],
    ['SET', 'k', 'three'],
    ['DBSIZE'],
    ['SELECT', '99'],
    ['GET', 'k'],
    ['EXEC'],
    ['GET', 'k'],
    ['MULTI'],
    ['GET', 'k'],
    ['SELECT', '0'],
    ['GET', 'k'],
    ['SELECT', '5'],
    ['EXEC'],
    ['GET', 'k'],
    ['DBSIZE'],
  ];
  ours.send(...all);
  theirs.send(...all);
  const [a, b] = await Promise.all([ours.settled(), theirs.settled()]);
  assert.equal(a.toString(), b.toString());
  const other = await open(t, running, 2);
  assert.equal(await other.ask('GET', 'k'), '$4\r\nzero\r\n');
});
