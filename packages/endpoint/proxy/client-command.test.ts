/** CLIENT: what changes the replies, the tracking, the touching of one connection. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, startBare, startShards } from './testing-engines.ts';

const MS = 3000;
const INVALIDATE = 'invalidate\r\n*1\r\n';

test('CLIENT REPLY, NO-TOUCH, TRACKING, CACHING', async (t) => {
  const { views, shards } = await startShards(t, 2);
  const bare = await startBare(t);
  const running = await startProxy({ shards: views, keys: { default: KEY }, workers: 2 });
  t.after(() => running.close());
  const open = (protocol: 2 | 3 = 2): Promise<RawClient> => RawClient.open(running.port, protocol);
  /** The same to both; the same bytes back. */
  const same = async (protocol: 2 | 3, ...commands: string[][]): Promise<string> => {
    const ours = await open(protocol);
    const theirs = await RawClient.open(bare.launch.socket, protocol);
    const seen: string[] = [];
    for (const client of [ours, theirs]) {
      await client.ask('FLUSHALL');
      client.send(...commands);
      seen.push((await client.settled()).toString('latin1'));
      client.close();
    }
    assert.equal(seen[0], seen[1]);
    return seen[0] ?? '';
  };

  await t.test('replies that nobody wants are left out, in a pipeline too', async () => {
    const on = ['CLIENT', 'REPLY', 'ON'];
    const off = ['CLIENT', 'REPLY', 'OFF'];
    const skip = ['CLIENT', 'REPLY', 'SKIP'];
    const set = (n: number): string[] => ['SET', `k${n}`, String(n)];
    for (const protocol of [2, 3] as const) {
      const seen = await same(protocol, set(1), off, set(2), ['NOSUCH'], ['MGET', 'k1', 'k2'], on);
      assert.equal(seen, '+OK\r\n+OK\r\n');
      await same(protocol, skip, set(1), ['GET', 'k1'], skip, ['MGET', 'k1', 'k2'], ['DBSIZE']);
      await same(protocol, skip, skip, set(1), set(2), skip, on, set(3));
      await same(protocol, off, skip, set(1), set(2), on, set(3), skip, ['GET'], ['GET', 'k3']);
      await same(protocol, skip, ['MULTI'], set(1), ['EXEC'], off, ['MULTI'], set(2), ['EXEC'], on);
      await same(protocol, ['CLIENT', 'REPLY', 'X'], skip, ['CLIENT', 'REPLY', 'X'], ['PING']);
      await same(protocol, off, ['BLPOP', 'none', '0.01'], ['EVAL', 'return 1', '0'], on);
    }
    const client = await open();
    client.send(off, ['SET', 'big', 'x'.repeat(300_000)], ['GET', 'big'], ['RESET']);
    await eventually('reset answers again', () => client.received.toString() === '+RESET\r\n');
    client.close();
  });

  await t.test('NO-TOUCH: reads leave the age of a key alone', async () => {
    const quiet = await open();
    const loud = await open();
    assert.equal(await quiet.ask('CLIENT', 'NO-TOUCH', 'ON'), '+OK\r\n');
    assert.equal(await quiet.ask('SET', 'aged', '1'), '+OK\r\n');
    const age = async (): Promise<number> =>
      Number((await loud.ask('OBJECT', 'IDLETIME', 'aged')).slice(1));
    await eventually(
      'it ages although it is read',
      async () => (await quiet.ask('GET', 'aged')) === '$1\r\n1\r\n' && (await age()) >= 1,
    );
    await loud.ask('GET', 'aged');
    assert.equal(await age(), 0);
    assert.match(await quiet.ask('CLIENT', 'NO-TOUCH', 'X'), /^-ERR syntax error/);
    quiet.close();
    loud.close();
  });

  await t.test('OPTIN and OPTOUT: CLIENT CACHING concerns the next command', async () => {
    const writer = await open();
    const invalidated = async (mode: string, ...commands: readonly string[][]): Promise<string> => {
      const client = await open(3);
      assert.equal(await client.ask('CLIENT', 'TRACKING', 'ON', mode), '+OK\r\n');
      client.send(...commands);
      await client.settled();
      for (const key of ['a', 'b', 'c', 'd']) await writer.ask('SET', key, mode);
      // A key that is certainly told of, so that all others would have been before.
      client.send(['CLIENT', 'TRACKING', 'OFF'], ['CLIENT', 'TRACKING', 'ON'], ['GET', 'last']);
      const before = (await client.settled()).toString();
      client.close();
      return before
        .split(INVALIDATE)
        .slice(1)
        .map((part) => part.split('\r\n')[1])
        .sort()
        .join('');
    };
    const yes = ['CLIENT', 'CACHING', 'YES'];
    const no = ['CLIENT', 'CACHING', 'NO'];
    assert.equal(await invalidated('OPTIN', yes, ['GET', 'a'], ['GET', 'b']), 'a');
    assert.equal(await invalidated('OPTIN', yes, ['MGET', 'a', 'b', 'c'], ['GET', 'd']), 'abc');
    assert.equal(
      await invalidated('OPTIN', yes, ['MULTI'], ['GET', 'a'], ['EXEC'], ['GET', 'b']),
      'a',
    );
    assert.equal(await invalidated('OPTOUT', ['GET', 'a'], no, ['GET', 'b'], ['GET', 'c']), 'ac');
    await same(3, yes, ['CLIENT', 'TRACKING', 'ON', 'OPTIN'], no, ['CLIENT', 'TRACKINGINFO']);
    await same(3, ['CLIENT', 'TRACKING', 'ON', 'OPTIN', 'OPTOUT'], ['CLIENT', 'CACHING', 'x']);
    await same(
      3,
      ['CLIENT', 'TRACKING', 'ON', 'BCAST', 'OPTIN'],
      ['CLIENT', 'TRACKING', 'ON', 'PREFIX', 'a'],
    );
    await same(3, ['CLIENT', 'TRACKING', 'ON'], ['CLIENT', 'TRACKING', 'ON', 'BCAST']);
    await same(3, ['CLIENT', 'TRACKING', 'ON', 'OPTOUT'], yes, ['CLIENT', 'CACHING', 'x']);
    await same(3, ['CLIENT', 'TRACKING', 'ON'], yes, no, ['CLIENT', 'CACHING', 'x']);
    const prefixed = ['CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'b', 'PREFIX', 'a'];
    const every = ['CLIENT', 'TRACKING', 'ON', 'BCAST'];
    const info = ['CLIENT', 'TRACKINGINFO'];
    await same(3, prefixed, info);
    await same(3, every, info, prefixed);
    await same(2, ['CLIENT', 'SETINFO', 'LIB-NAME', 'a b'], ['CLIENT', 'SETINFO', 'lib-Ver', ' ']);
    writer.close();
  });

  await t.test('who switches it on again misses no change of what was read before', async () => {
    const forgets = /^\+OK\r\n(?:\$-?\d+\r\n.*|_\r\n)*\+OK\r\n>2\r\n\$10\r\ninvalidate\r\n_\r\n$/s;
    for (const [first, second] of [
      [[], ['NOLOOP']],
      [[], []],
      [['OPTOUT'], []],
      [
        ['BCAST', 'PREFIX', 'a'],
        ['BCAST', 'PREFIX', 'b'],
      ],
    ] as const) {
      const client = await open(3);
      const on = ['CLIENT', 'TRACKING', 'ON'];
      client.send([...on, ...first], ['GET', 'a'], [...on, ...second]);
      assert.match((await client.settled()).toString(), forgets);
      client.close();
    }
  });

  await t.test(
    'BCAST with prefixes hears of keys it never read, NOLOOP not of its own',
    async () => {
      const client = await open(3);
      const writer = await open();
      client.send(['CLIENT', 'TRACKING', 'ON', 'BCAST', 'NOLOOP', 'PREFIX', 'x:', 'PREFIX', 'y:']);
      assert.equal((await client.settled()).toString(), '+OK\r\n');
      const keys = Array.from({ length: 8 }, (_, i) => `x:${i}`);
      client.send(['SET', 'x:own', '1']);
      await client.settled();
      for (const key of [...keys, 'z:1', 'y:1']) await writer.ask('SET', key, '1');
      const heard = (): string => client.received.toString();
      await eventually('all of them', () => [...keys, 'y:1'].every((key) => heard().includes(key)));
      assert.ok(!heard().includes('z:1') && !heard().includes('x:own'));
      await eventually('both shards took part', async () => {
        const sizes = await Promise.all(shards.map((s) => s.primary.link.command(['DBSIZE'], MS)));
        return sizes.every((size) => Number(size) > 0);
      });
      client.close();
      writer.close();
    },
  );

  await t.test(
    'what is refused is refused as the engine refuses what it does not have',
    async () => {
      const client = await open();
      for (const words of [
        ['CLIENT', 'NO-EVICT', 'ON'],
        ['CLIENT', 'PAUSE', '1'],
        ['ACL', 'SETUSER', 'x'],
      ]) {
        assert.equal(
          await client.ask(...words),
          `-ERR unknown subcommand '${words[1]}'. Try ${words[0]} HELP.\r\n`,
        );
      }
      assert.match(
        await client.ask('SHUTDOWN'),
        /^-ERR unknown command 'SHUTDOWN', with args beginning/,
      );
      assert.match(
        await client.ask('CLIENT', 'TRACKING', 'ON', 'REDIRECT', '1'),
        /tracking-option/,
      );
      client.close();
    },
  );
});
