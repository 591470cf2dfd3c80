/** An engine that executes no script any more is told from a script that is wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { startProxy } from './testing.ts';
import { inSync, instance, KEY, RawClient, startShards, switchPrimary } from './testing-engines.ts';

const GET = "return redis.call('GET', KEYS[1])";

test('one script with keys of different slots, and what everybody reads after it', async (t) => {
  const { shards, views } = await startShards(t, 1, true);
  const [shard] = shards;
  assert.ok(shard?.replica);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const [client, other] = [await RawClient.open(running.port), await RawClient.open(running.port)];
  await client.ask('MSET', 'a', '1', 'b', '2');
  assert.equal(await client.ask('EVAL', GET, '1', 'a'), '$1\r\n1\r\n');
  // No engine has this key's slot here, and the next script works.
  const said = (): string[] =>
    running.events.flatMap((each) => (each.kind === 'limit' ? [each.limit] : []));
  // In a MULTI the client reads the engine's own words, and they are heard all the same.
  const inMulti = async (who: RawClient, ...script: readonly string[]): Promise<string> => {
    who.send(['MULTI'], ['EVAL', ...script], ['EXEC']);
    const replies = String(await who.settled());
    return replies.slice(replies.indexOf('*1'));
  };
  const wrong = await inMulti(client, "return redis.call('DEL', 'a', 'b')", '0');
  assert.match(wrong, /^\*1\r\n-ERR .*(?:non local key|same slot)/);
  const after = await inMulti(other, GET, '1', 'a');
  if (after === '*1\r\n$1\r\n1\r\n') {
    // A version without the fault: nothing is said of it.
    assert.deepEqual(said(), []);
  } else {
    await eventually('it is known', () => said().length > 0);
    assert.match(
      await other.ask('EVAL', "return redis.call('PING')", '0'),
      /^-ERR scripts-refused: shard test\/0 .* 'cinnabar maintain'/,
    );
    assert.deepEqual(said(), ['scripts-refused']);
  }
  // Everything else goes on, and the copy that takes over executes scripts.
  assert.equal(await other.ask('GET', 'a'), '$1\r\n1\r\n');
  await inSync(shard.replica);
  await switchPrimary(shard.primary, shard.replica);
  running.apply({
    shards: views.map((view) => ({
      ...view,
      primary: instance(shard.replica ?? shard.primary),
      replicas: [instance(shard.primary)],
    })),
  });
  await eventually(
    'scripts are executed',
    async () => (await other.ask('EVAL', GET, '1', 'a')) === '$1\r\n1\r\n',
  );
  for (const each of [client, other]) each.close();
});
