/** A flood of questions to all shards, by clients who read what they get and by clients who do not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { encodeCommand } from '../../resp/index.ts';
import { CLIENT_HIGH_WATER, MERGES } from './limits.ts';
import { startProxy, WORKER_COUNTS } from './testing.ts';
import { KEY, RawClient, Reader, startShards } from './testing-engines.ts';

const FLOODERS = 8;
const ASKED = 30;
const DEADLINE_MS = 30_000;
const END = 'the end';

for (const workers of WORKER_COUNTS) {
  test(`a few of all clients' questions to all shards are under way at once, ${workers} worker(s)`, async (t) => {
    const { views } = await startShards(t, 2);
    const running = await startProxy({ shards: views, keys: { default: KEY }, workers });
    t.after(() => running.close());
    const other = await RawClient.open(running.port);
    await other.ask('SET', 'k', 'v');
    const kinds = [
      ['INFO', 'everything'],
      ['SLOWLOG', 'GET', '-1'],
      ['KEYS', '*'],
    ] as const;
    const flooders = Array.from({ length: FLOODERS }, () => new Reader(running.port, false));
    for (const flooder of flooders) await flooder.login();
    for (const [i, { socket }] of flooders.entries()) {
      const question = encodeCommand(kinds[i % kinds.length] ?? []);
      socket.write(Buffer.concat([...Array(ASKED).fill(question), encodeCommand(['ECHO', END])]));
    }
    const ended = (): boolean => flooders.every(({ chunks }) => chunks.at(-1)?.includes(END));
    let rounds = 0;
    let most = 0;
    const watching = setInterval(() => {
      most = Math.max(most, running.inFlight());
    }, 1);
    while (!ended()) {
      assert.equal(await other.ask('GET', 'k'), '$1\r\nv\r\n');
      rounds++;
    }
    clearInterval(watching);
    assert.ok(most > 0 && most <= workers * MERGES + 1, `${most} at once`);
    assert.ok(rounds >= (FLOODERS * ASKED) / 20, `${rounds} rounds of another client`);
    for (const { socket } of flooders) socket.destroy();
    other.close();
  });
}

test('who does not read is asked for on, but seldom, and has everything when he reads', async (t) => {
  const { shards, views } = await startShards(t, 2);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const link = shards[0]?.primary.link;
  assert.ok(link);
  const calls = async (): Promise<number> => {
    const stats = String(await link.command(['INFO', 'commandstats'], DEADLINE_MS));
    return Number(/cmdstat_keys:calls=(\d+)/.exec(stats)?.[1] ?? 0);
  };
  const other = await RawClient.open(running.port);
  const long = 'k'.repeat(100_000);
  for (let i = 0; i < 8; i++) await other.ask('SET', `${i}${long}`, 'v');
  const alone: number[] = [];
  for (let i = 0; i < 10; i++) {
    const asked = performance.now();
    await other.ask('KEYS', '*');
    alone.push(performance.now() - asked);
  }
  const lazy = Array.from({ length: 4 }, () => new Reader(running.port, false));
  for (const { socket } of lazy) socket.pause();
  const question = encodeCommand(['KEYS', '*']);
  for (const { socket } of lazy) {
    socket.write(Buffer.concat([encodeCommand(['AUTH', KEY]), ...Array(ASKED).fill(question)]));
  }
  await eventually(
    'nobody reads',
    () =>
      running.proxy.sessions.size === lazy.length + 1 &&
      [...running.proxy.sessions.values()]
        .slice(1)
        .every(({ output }) => output.unwritten > CLIENT_HIGH_WATER),
    DEADLINE_MS,
  );
  const before = await calls();
  const since = performance.now();
  await eventually('one is begun all the same', async () => (await calls()) > before + 2);
  const each = (performance.now() - since) / 3;
  // Without the pause behind each, two are under way all the time: less than that of one who reads.
  const least = 2 * Math.min(...alone);
  assert.ok(each > least, `one each ${each.toFixed(1)} ms, not ${least.toFixed(1)}`);
  for (const { socket } of lazy) socket.resume();
  const size = '*8\r\n'.length + 8 * ('$100001\r\n'.length + 1 + long.length + 2);
  await eventually(
    'everything that was asked for',
    () => lazy.every(({ bytes }) => bytes === '+OK\r\n'.length + ASKED * size),
    DEADLINE_MS,
  );
  assert.deepEqual(running.reasons, []);
  for (const { socket } of lazy) socket.destroy();
  other.close();
});
