/** Blocking commands that an engine gives back undone: what is left of their time, and no more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, startShards } from './testing-engines.ts';

const MS = 3000;
const WAIT_S = 1;
const ROUNDS = 10;
const UNBLOCKED = '-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n';

test('given back undone', async (t) => {
  const { shards, views } = await startShards(t, 1);
  const [shard] = shards;
  assert.ok(shard !== undefined);
  const { link } = shard.primary;
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const client = await RawClient.open(running.port);
  t.after(() => client.close());

  /** The engine's number of the connection that waits there. */
  const waiting = async (command: string): Promise<string> => {
    let found: string | undefined;
    await eventually('it waits', async () => {
      const list = String(await link.command(['CLIENT', 'LIST'], MS));
      const line = list.split('\n').find((each) => each.includes(` cmd=${command} `));
      found = / flags=\w*b/.test(line ?? '') ? /^id=(\d+)/.exec(line ?? '')?.[1] : undefined;
      return found !== undefined;
    });
    return found ?? '';
  };
  /** As an engine does it that becomes a replica. */
  const giveBack = async (command: string): Promise<void> => {
    await link.command(['CLIENT', 'UNBLOCK', await waiting(command), 'ERROR'], MS);
  };
  /** Nothing is read here meanwhile. */
  const stand = (untilMs: number): void => {
    while (performance.now() < untilMs);
  };

  await t.test('its time is over by then', async () => {
    for (const words of [
      ['BLPOP', 'nothing', `${WAIT_S}`],
      ['BLMPOP', `${WAIT_S}`, '1', 'nothing', 'LEFT'],
      ['XREAD', 'BLOCK', `${WAIT_S * 1000}`, 'STREAMS', 'nothing2', '$'],
    ]) {
      const began = performance.now();
      client.received = Buffer.alloc(0);
      client.send(words);
      await giveBack(words[0]?.toLowerCase() ?? '');
      stand(began + WAIT_S * 1100);
      await eventually('answered', () => client.received.length > 0);
      assert.equal(client.received.toString(), '*-1\r\n');
      const took = performance.now() - began;
      assert.ok(took < WAIT_S * 1900, `${words[0]}: ${took} ms`);
    }
  });

  await t.test('CLIENT UNBLOCK finds it also between two engines', async () => {
    const other = await RawClient.open(running.port);
    client.received = Buffer.alloc(0);
    const id = (await client.ask('CLIENT', 'ID')).slice(1).trim();
    for (let round = 0; round < ROUNDS; round++) {
      const [how, told] = round % 2 === 0 ? ['TIMEOUT', '*-1\r\n'] : ['ERROR', UNBLOCKED];
      client.received = Buffer.alloc(0);
      client.send(['BLPOP', 'nothing', '0']);
      await giveBack('blpop');
      other.received = Buffer.alloc(0);
      assert.equal(await other.ask('CLIENT', 'UNBLOCK', id, how ?? ''), ':1\r\n');
      other.received = Buffer.alloc(0);
      await eventually('told', () => client.received.toString() === told);
      assert.equal(await other.ask('CLIENT', 'UNBLOCK', id), ':0\r\n');
      client.received = Buffer.alloc(0);
      assert.equal(await client.ask('PING'), '+PONG\r\n');
    }
    other.close();
  });
});
