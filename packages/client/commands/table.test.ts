/** What the kit knows of commands against what the engine says of them: order per key hangs on it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Command, Redis } from 'ioredis';
import { startServer, type TestServer } from '../testing/server.ts';
import { factsOf, keysOf, requestBytes } from './keys.ts';

let server: TestServer;
let redis: Redis;
before(async () => {
  server = await startServer();
  redis = new Redis(server.port);
});
after(async () => {
  redis?.disconnect();
  await server?.stop();
});

/** For the server's developers, or between servers. */
const left = new Set(['pfdebug', 'pfselftest', 'restore-asking', 'migrate']);
/** A count of keys and then keys, and what else has to be well formed. */
const examples: readonly string[][] = [
  ['SORT', 'a', 'BY', 'w_*', 'LIMIT', '0', '5', 'ALPHA', 'STORE', 'b'],
  ['SORT', 'a', 'DESC'],
  ['GEORADIUS', 'a', '1', '2', '3', 'km', 'STORE', 'b'],
  ['GEORADIUSBYMEMBER', 'a', 'm', '3', 'km', 'STOREDIST', 'b'],
  ['MSETEX', '2', 'a', '1', 'b', '2', 'EX', '10'],
  ['PFCOUNT', 'a', 'b', 'c'],
  ['ZINTERSTORE', 'a', '2', 'b', 'c'],
  ['ZUNION', '2', 'a', 'b', 'WITHSCORES'],
  ['LMPOP', '2', 'a', 'b', 'LEFT'],
  ['BLMPOP', '1', '2', 'a', 'b', 'LEFT'],
  ['EVAL', 'return 1', '2', 'a', 'b', 'c'],
  ['XREAD', 'COUNT', '1', 'STREAMS', 'a', 'b', '0', '0'],
  ['BITOP', 'AND', 'a', 'b', 'c'],
  ['BLPOP', 'a', 'b', '1'],
  ['MSET', 'a', '1', 'b', '2'],
  ['OBJECT', 'ENCODING', 'a'],
  ['XGROUP', 'CREATE', 'a', 'g', '$'],
  ['MEMORY', 'USAGE', 'a'],
];

test('bytes of a request are those that its library sends', () => {
  for (const args of [
    [],
    ['k'],
    ['k', '9 bytes..'],
    ['k', 'x'.repeat(10)],
    Array(120).fill('y'.repeat(1_000)),
  ]) {
    const sent = new Command('set', args).toWritable({});
    assert.equal(requestBytes('set', args, 0), sent.length, String(args.length));
    assert.equal(requestBytes('set', ['SET', ...args], 1), sent.length);
  }
  assert.equal(
    requestBytes('set', ['k', Buffer.alloc(500)], 0),
    requestBytes('set', ['k', 'z'.repeat(500)], 0),
  );
  assert.equal(requestBytes('expire', ['k', 86_400], 0), requestBytes('expire', ['k', '86400'], 0));
});

test('keys of commands whose keys are not only the first argument', async () => {
  for (const [name = '', ...args] of examples) {
    const expected = await redis.call('COMMAND', 'GETKEYS', name, ...args).catch(String);
    // Of commands that an older engine does not have.
    if (String(expected).includes('Invalid command')) continue;
    assert.deepEqual(
      [...keysOf(factsOf(name), args, 0)].sort(),
      [...(expected as string[])].sort(),
      name,
    );
  }
});

test('every command of the engine: reads are reads, and the keys of simple ones are where it says', async () => {
  const specs = { one: [1, 1], two: [1, 2], all: [1, -1], pairs: [1, -1], allButLast: [1, -2] };
  const wrong: string[] = [];
  for (const command of (await redis.call('COMMAND')) as unknown[][]) {
    const [name, , flags, first, last] = command as [string, number, string[], number, number];
    const { read, place, keys } = factsOf(name);
    if (left.has(name) || place !== 'data') continue;
    if (read && flags.includes('write')) wrong.push(`${name} writes`);
    if (flags.includes('movablekeys') || first === 0) continue;
    const expected = specs[keys as keyof typeof specs];
    if (expected !== undefined && (expected[0] !== first || expected[1] !== last))
      wrong.push(`${name}: ${keys}, engine ${first} to ${last}`);
  }
  assert.deepEqual(wrong, []);
});
