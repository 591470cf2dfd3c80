/** A MULTI on an engine that has no memory left for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually, type RunningEngine } from '../../engine/testing.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, startBare, startShards } from './testing-engines.ts';

const MS = 5000;
const QUEUED = '+QUEUED\r\n';

for (const count of [1, 3]) {
  test(`out of memory in a MULTI, ${count} shard(s)`, async (t) => {
    const { shards, views } = await startShards(t, count);
    const bare = await startBare(t);
    const running = await startProxy({ shards: views, keys: { default: KEY } });
    t.after(() => running.close());
    const ours = await RawClient.open(running.port);
    const theirs = await RawClient.open(bare.launch.socket);
    const engines: RunningEngine[] = [bare, ...shards.map(({ primary }) => primary)];
    const memory = async (bytes: string): Promise<void> => {
      for (const { link } of engines) {
        await link.command(['CONFIG', 'SET', 'maxmemory-policy', 'noeviction'], MS);
        await link.command(['CONFIG', 'SET', 'maxmemory', bytes], MS);
      }
    };
    const ask = async (client: RawClient, ...commands: string[][]): Promise<string> => {
      client.send(...commands);
      return (await client.settled()).toString();
    };
    const alike = async (...commands: string[][]): Promise<string> => {
      const [a, b] = await Promise.all([ask(ours, ...commands), ask(theirs, ...commands)]);
      assert.equal(a, b);
      return a;
    };
    await alike(['SET', '{k}a', '1'], ['SET', '{k}b', '1'], ['RPUSH', '{k}l', '1', '2']);

    await memory('1');
    // What needs none.
    await alike(['MULTI'], ['DEL', '{k}a'], ['LPOP', '{k}l'], ['GET', '{k}b'], ['EXEC']);
    // Refused as it is queued, and here with EXEC; nothing of it is executed, before or behind.
    const commands = [['MULTI'], ['DEL', '{k}b'], ['SET', '{k}a', '2'], ['LPOP', '{k}l'], ['EXEC']];
    const bareSays = await ask(theirs, ...commands);
    const oom = /\+QUEUED\r\n(-OOM .*\r\n)\+QUEUED/.exec(bareSays)?.[1] ?? assert.fail(bareSays);
    const weSay = await ask(ours, ...commands);
    const because = '-EXECABORT Transaction discarded because of: ';
    assert.equal(weSay, `+OK\r\n${QUEUED.repeat(3)}${because}${oom.slice(1)}`);
    await alike(['GET', '{k}b'], ['LRANGE', '{k}l', '0', '-1'], ['EXISTS', '{k}a']);
    // The same with a watched key, with what is answered here, and outside.
    await ask(ours, ['WATCH', '{k}b']);
    assert.ok((await ask(ours, ...commands)).endsWith(`${because}${oom.slice(1)}`));
    const mixed = [
      ['MULTI'],
      ['CLIENT', 'SETNAME', 'n'],
      ['SET', '{k}a', '2'],
      ['DBSIZE'],
      ['EXEC'],
    ];
    assert.ok((await ask(ours, ...mixed)).endsWith(`${because}${oom.slice(1)}`));
    await alike(['CLIENT', 'GETNAME'], ['SET', '{k}a', '2'], ['EXEC']);
    await memory('0');

    // Between the last command and EXEC, an engine says it as we do.
    const queued = [['MULTI'], ['SET', '{k}a', '3'], ['GET', '{k}b']];
    for (const client of [ours, theirs]) {
      client.send(...queued);
      const head = `+OK\r\n${QUEUED.repeat(2)}`;
      await eventually('queued', () => client.received.toString() === head);
      client.received = Buffer.alloc(0);
    }
    await memory('1');
    assert.equal(await alike(['EXEC']), `${because}${oom.slice(1)}`);
    await memory('0');
    await alike(...queued, ['EXEC'], ['GET', '{k}a']);
    for (const client of [ours, theirs]) client.close();
  });
}
