/** Blocking commands that an engine gives back undone, or that it took along when it could not have done them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { startProxy } from './testing.ts';
import { KEY, moveSlots, RawClient, startShards } from './testing-engines.ts';

const MS = 3000;
const WAIT_S = 1;
const ROUNDS = 10;
const WAITING = 8;
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

test('its slot has left when its engine goes: it waits on at the next owner, and nothing is said to be unknown', async (t) => {
  const { shards, views } = await startShards(t, 2);
  const [stays, leaves] = shards;
  assert.ok(stays !== undefined && leaves !== undefined);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const { slots } = leaves.view;
  const [[first, last] = [0, 0]] = slots;
  const other = await RawClient.open(running.port);
  const keys: string[] = [];
  for (let i = 0; keys.length < WAITING; i++) {
    const slot = Number((await other.ask('CLUSTER', 'KEYSLOT', `q${i}`)).slice(1));
    if (slot >= first && slot <= last) keys.push(`q${i}`);
  }
  const clients = await Promise.all(keys.map(() => RawClient.open(running.port)));
  for (const [i, client] of clients.entries()) {
    const key = keys[i] ?? '';
    client.received = Buffer.alloc(0);
    client.send(i % 2 === 0 ? ['BLPOP', key, '0'] : ['XREAD', 'BLOCK', '0', 'STREAMS', key, '$']);
  }
  await eventually('all wait', async () => {
    const info = String(await leaves.primary.link.command(['INFO', 'clients'], MS));
    return info.includes(`blocked_clients:${WAITING}`);
  });
  await moveSlots(leaves.primary, stays.primary, first, last);
  // As the control process does it: nobody is sent there any more, then the engine goes. It sends those that wait
  // elsewhere only when it comes to look at each, within a second.
  running.apply({ shards: [{ ...stays.view, slots: [[0, 16383]] }] });
  process.kill(leaves.primary.process.pid, 'SIGKILL');
  for (const [i, key] of keys.entries()) {
    // A stream is read from where it ended when it was asked for, which is told by who waits.
    await eventually('it waits there', async () => {
      const info = String(await stays.primary.link.command(['INFO', 'clients'], MS));
      return info.includes(`blocked_clients:${WAITING - i}`);
    });
    await other.ask(...(i % 2 === 0 ? ['RPUSH', key, 'v'] : ['XADD', key, '*', 'f', 'v']));
    const client = clients[i];
    await eventually('answered', () => client?.received.includes('\r\nv\r\n') === true);
    assert.doesNotMatch(client?.received.toString() ?? '', /^-/);
  }
  for (const client of [...clients, other]) client.close();
});

test('what is added to a stream between two engines is read by who waits for its next entries', async (t) => {
  const { shards, views } = await startShards(t, 2);
  const [stays, leaves] = shards;
  assert.ok(stays !== undefined && leaves !== undefined);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const { slots } = leaves.view;
  const [[first, last] = [0, 0]] = slots;
  const other = await RawClient.open(running.port);
  let key = '';
  for (let i = 0; key === ''; i++) {
    const slot = Number((await other.ask('CLUSTER', 'KEYSLOT', `q${i}`)).slice(1));
    if (slot >= first && slot <= last) key = `q${i}`;
  }
  const [old, none] = [`{${key}}old`, `{${key}}none`];
  await other.ask('XADD', old, '5-1', 'f', 'before');
  const readers = await Promise.all(STREAMS.map(() => RawClient.open(running.port)));
  for (const [i, reader] of readers.entries()) {
    reader.received = Buffer.alloc(0);
    reader.send(['XREAD', 'BLOCK', '0', 'STREAMS', ...(STREAMS[i]?.(old, none) ?? [])]);
  }
  await eventually('all wait', async () => {
    const info = String(await leaves.primary.link.command(['INFO', 'clients'], MS));
    return info.includes(`blocked_clients:${STREAMS.length}`);
  });
  await moveSlots(leaves.primary, stays.primary, first, last);
  running.apply({
    shards: [
      { ...stays.view, slots: [[0, 16383]] },
      { ...leaves.view, slots: [] },
    ],
  });
  // At once: those that wait are sent on by the old engine within a second.
  for (const stream of [old, none]) await other.ask('XADD', stream, '7-1', 'f', 'next');
  for (const reader of readers) {
    await eventually('read', () => reader.received.includes('next'));
    assert.ok(!reader.received.includes('before'));
    reader.close();
  }
  other.close();
});

const STREAMS = [
  (old: string) => [old, '$'],
  (_: string, none: string) => [none, '$'],
  (old: string, none: string) => [none, old, '7-1', '$'],
];
