/** What the kit does not wrap is refused by name when it is given, with what to do instead. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import iovalkey from 'iovalkey';
import { createClientPool, createSentinel } from 'redis';
import { createClientPool as createOlderPool } from 'redis5';
import { batch, type ClientLike, chunked, harden, lanes, observe } from '../index.ts';
import { until } from '../testing/until.ts';

const refused = (message: RegExp) => ({ code: 'ERR_CLIENT_UNSUPPORTED', message });

test('ioredis and iovalkey with sentinels: refused, and their clients ended', async () => {
  const sentinels = [{ host: '127.0.0.1', port: 1 }];
  const options = { sentinels, name: 'main' };
  const kinds = [() => new Redis(options), () => new iovalkey.default(options)];
  for (const open of kinds) {
    const made: { readonly status: string }[] = [];
    const make = (): object => {
      const client = open();
      client.on('error', () => {});
      made.push(client);
      return client;
    };
    assert.throws(() => lanes(make), refused(/^lanes\(\): .*with sentinels; .*primary/));
    await until(() => made[0]?.status === 'end');
  }
});

test('pools and sentinels of node-redis', () => {
  for (const make of [createClientPool, createOlderPool] as (() => ClientLike)[]) {
    assert.throws(() => lanes(make), refused(/createClientPool.*createClient\(\)/));
    assert.throws(() => chunked(make()), refused(/createClientPool/));
  }
  const sentinel = (): object =>
    createSentinel({ name: 'main', sentinelRootNodes: [{ host: '127.0.0.1', port: 1 }] });
  assert.throws(() => lanes(sentinel), refused(/createSentinel/));
});

test('older versions of redis, and GLIDE, by what they have', () => {
  // As those packages' clients are built; they are no dependency of this one.
  const four = { options: {}, isOpen: false, sendCommand() {}, commandsExecutor() {} };
  const three = { server_info: {}, send_command() {}, internal_send_command() {} };
  const glide = { customCommand() {}, updateConnectionPassword() {} };
  assert.throws(() => harden(four), refused(/^harden\(\): this is a client of redis 4.*5\.12/));
  assert.throws(() => observe(three), refused(/^observe\(\): this is a client of redis 3/));
  assert.throws(() => lanes(() => glide), refused(/Valkey GLIDE/));
  assert.throws(() => lanes(() => ({})), refused(/something else/));
});

test('what is no client at all: the compiler says so, and where nobody asks it, the kit', async () => {
  // @ts-expect-error A client is wanted.
  assert.throws(() => chunked({}), refused(/not a client of ioredis, iovalkey or redis/));
  // @ts-expect-error The same.
  await assert.rejects(batch({}, [['PING']]), refused(/not a client of/));
});
