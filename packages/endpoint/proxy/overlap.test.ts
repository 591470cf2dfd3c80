/** A planned switch while clients listen: every message comes, and comes once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { eventually } from '../../engine/testing.ts';
import { SWITCHING } from '../control-protocol.ts';
import { Overlap } from './overlap.ts';
import { startProxy } from './testing.ts';
import { instance, KEY, RawClient, startShards } from './testing-engines.ts';

const MS = 3000;
const ROUNDS = 4;

test('messages over planned switches: each once, sharded ones perhaps a little late', async (t) => {
  const { shards, views } = await startShards(t, 1, true);
  const [shard] = shards;
  assert.ok(shard?.replica);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const listening = [
    ['SUBSCRIBE', 'c'],
    ['PSUBSCRIBE', 'c*'],
    ['SSUBSCRIBE', 'c'],
  ];
  const listeners = await Promise.all(listening.map(() => RawClient.open(running.port)));
  for (const [i, listener] of listeners.entries()) {
    listener.send(listening[i] ?? []);
    await eventually('it listens', () => listener.received.includes(':1\r\n'));
    listener.received = Buffer.alloc(0);
  }
  const publisher = await RawClient.open(running.port);
  let published = 0;
  let stop = false;
  const publishing = (async () => {
    while (!stop) {
      const n = `<${++published}>`;
      await publisher.ask('PUBLISH', 'c', n);
      await publisher.ask('SPUBLISH', 'c', n);
    }
  })();
  let [from, to] = [shard.primary, shard.replica];
  for (let round = 0; round < ROUNDS; round++) {
    const before = published;
    await eventually('messages flow', () => published > before + 50);
    await eventually('in sync', async () => {
      const facts = await to.link.facts(MS);
      return facts.role === 'replica' && facts.link === 'up' && !facts.syncing;
    });
    await running.hold('test/0', Date.now() + 4000);
    await from.link.pauseWrites(5000, MS);
    const { offset } = await from.link.facts(MS);
    await eventually('equal offsets', async () => (await to.link.facts(MS)).offset >= offset);
    await to.link.takeover(MS);
    await eventually('demoted', async () => (await from.link.facts(MS)).role === 'replica');
    await from.link.unpause(MS);
    running.release('test/0', { node: instance(to).node, reason: SWITCHING });
    const view = { ...shard.view, primary: instance(to), replicas: [instance(from)] };
    running.apply({ shards: [view] });
    [from, to] = [to, from];
  }
  const after = published;
  await eventually('messages flow', () => published > after + 50);
  stop = true;
  await publishing;
  const all = Array.from({ length: published }, (_, i) => i + 1);
  for (const [i, listener] of listeners.entries()) {
    const heard = (): string => listener.received.toString('latin1');
    await eventually('the last one came', () => heard().includes(`<${published}>`));
    const numbers = [...heard().matchAll(/<(\d+)>/g)].map(([, n]) => Number(n));
    const [how = ''] = listening[i] ?? [];
    // What came by the old primary's bus alone may stand behind newer ones of the new primary.
    if (how === 'SSUBSCRIBE') numbers.sort((x, y) => x - y);
    assert.deepEqual(numbers, all, how);
    listener.close();
  }
  publisher.close();
});

test('however two connections bring the same messages: each is passed on once', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 3 }), { maxLength: 40 }),
      fc.array(fc.boolean(), { minLength: 80, maxLength: 80 }),
      (messages, turns) => {
        const overlap = new Overlap();
        const at = { old: 0, new: 0 };
        const passed: number[] = [];
        for (const turn of [...turns, ...messages.flatMap(() => [true, false])]) {
          const from = turn ? 'old' : 'new';
          const message = messages[at[from]];
          if (message === undefined) continue;
          at[from]++;
          if (overlap.brings(from, 'c', 'c', Buffer.from(`${message}`))) passed.push(message);
        }
        assert.deepEqual(passed, messages);
        assert.equal(overlap.full, false);
      },
    ),
  );
});
