/** A key is shown to nobody, in whatever place of a login it is said: not by MONITOR, nor in an event. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { startProxy } from './testing.ts';
import { instance, KEY, RawClient, startShards } from './testing-engines.ts';

test('a key in MONITOR and in events', async (t) => {
  const { views } = await startShards(t, 1);
  const running = await startProxy({ shards: views, keys: { default: KEY }, workers: 2 });
  t.after(() => running.close());
  // At the worker of the client, and at the other one.
  const monitors = [await RawClient.open(running.port), await RawClient.open(running.port)];
  for (const each of monitors) {
    each.send(['MONITOR']);
    await eventually('on', () => each.received.includes('+OK\r\n'));
  }
  const client = await RawClient.open(running.port);
  for (const words of [
    ['AUTH', 'default', KEY],
    ['HELLO', '3', 'AUTH', 'default', KEY],
    ['HELLO', 'AUTH', 'default', KEY],
    ['HELLO', '3', 'AUTH', KEY],
    ['AUTH', KEY, 'default'],
  ]) {
    await client.ask(...words);
  }
  await client.ask('ECHO', 'the end');
  for (const each of monitors) {
    await eventually('seen', () => each.received.includes('"ECHO" "the end"'));
    assert.ok(!each.received.includes(KEY), each.received.toString());
    each.close();
  }
  assert.ok(running.events.some((event) => event.kind === 'login-failed'));
  assert.ok(!JSON.stringify(running.events).includes(KEY));
  client.close();
});

for (const count of [1, 3]) {
  test(`INFO names no file, socket or port of an engine, ${count} shard(s)`, async (t) => {
    const { room, shards, views } = await startShards(t, count);
    const running = await startProxy({ shards: views, keys: { default: KEY } });
    t.after(() => running.close());
    const client = await RawClient.open(running.port);
    const said = await client.ask('INFO', 'everything');
    client.send(['MULTI'], ['INFO'], ['EXEC']);
    const queued = (await client.settled()).toString();
    for (const info of [said, await client.ask('INFO', 'server'), queued]) {
      assert.match(info, /\r\nexecutable:\r\nconfig_file:\r\n/);
      assert.ok(info.includes(`\r\ntcp_port:${running.port}\r\n`));
      assert.ok(!info.includes(room.folder) && !/\r\nlistener/.test(info));
      for (const { primary } of shards) {
        assert.ok(!info.includes(instance(primary).socket));
        assert.doesNotMatch(info, new RegExp(`port[=:]${primary.launch.port}\\b`));
      }
    }
    client.close();
  });
}
