/** By what name the engine knows a user is told to nobody: errors name the client's own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startProxy } from './testing.ts';
import { KEY, RawClient, startShards } from './testing-engines.ts';

const KEYS = "return redis.call('KEYS', '*')";

test('what a user may not do, and may not in scripts, is refused in his name', async (t) => {
  const { shards, views } = await startShards(t, 1);
  const rules = ['on', '>pw', '~*', '&*', '+@all', '-keys', '-blpop'];
  await shards[0]?.primary.link.command(['ACL', 'SETUSER', 'twin', ...rules], 5000);
  const twins = { default: { name: 'twin', password: 'pw' } };
  const running = await startProxy({ shards: views, keys: { default: KEY }, twins });
  t.after(() => running.close());
  const client = await RawClient.open(running.port);
  await client.ask(
    'FUNCTION',
    'LOAD',
    `#!lua name=l\nserver.register_function('f', function() ${KEYS} end)`,
  );
  for (const command of [
    ['KEYS', '*'],
    ['BLPOP', 'q', '1'],
    ['EVAL', KEYS, '0'],
    ['EVAL', KEYS, '1', 'key'],
    ['FCALL', 'f', '0'],
  ]) {
    const refusal = await client.ask(...command);
    assert.match(
      refusal,
      /^-(?:NOPERM|ERR ACL failure in script:) User default has no permissions/,
    );
    assert.doesNotMatch(refusal, /twin/);
  }
  client.send(['MULTI'], ['KEYS', '*'], ['EXEC']);
  assert.doesNotMatch((await client.settled()).toString(), /twin/);
});
