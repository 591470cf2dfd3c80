/** What one client may hold up: a worker with commands answered here, an engine with scripts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { encodeCommand } from '../../resp/index.ts';
import { MERGES_AHEAD, READS_FIRST } from './limits.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, Reader, startShards } from './testing-engines.ts';

const HELLOS = 20_000;
/** It is read in seven pieces: without turns of its own, others have as many. */
const TURNS = 20;
const MANY = 16;

test('a long pipeline of what is answered here leaves others their turns', async (t) => {
  const { views } = await startShards(t, 1);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const other = await RawClient.open(running.port);
  const long = new Reader(running.port, false);
  await long.login();
  long.socket.write(encodeCommand(['HELLO', '2']));
  await eventually('answered', () => long.bytes > 0);
  // How long its answer is differs with the numbers in it: what counts is the last one.
  long.take();
  const hellos = Buffer.concat(Array(HELLOS).fill(encodeCommand(['HELLO', '2'])));
  long.socket.write(hellos);
  const roundsOfOthers = async (): Promise<number> => {
    long.socket.write(encodeCommand(['ECHO', 'the end']));
    let rounds = 0;
    while (!long.chunks.at(-1)?.includes('the end')) {
      assert.equal(await other.ask('PING'), '+PONG\r\n');
      rounds++;
    }
    long.take();
    return rounds;
  };
  const alone = await roundsOfOthers();
  assert.ok(alone >= TURNS, `${alone} rounds`);
  // As many in one EXEC, after all are queued.
  long.socket.write(encodeCommand(['MULTI']));
  long.socket.write(hellos);
  const queued = '+OK\r\n'.length + HELLOS * '+QUEUED\r\n'.length;
  await eventually('queued', () => long.bytes === queued, 30_000);
  long.take();
  long.socket.write(encodeCommand(['EXEC']));
  const within = await roundsOfOthers();
  assert.ok(within >= TURNS, `${within} rounds`);
  other.close();
  long.socket.destroy();
});

test('scripts and questions to all shards are asked for a few at a time, as reads are', async (t) => {
  const { views } = await startShards(t, 2);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const script = ['EVAL', "return string.rep('x', 1000000)", '0'];
  for (const command of [script, ['INFO', 'everything']]) {
    const client = new Reader(running.port, false);
    await client.login();
    client.socket.pause();
    let most = 0;
    const watching = setInterval(() => {
      most = Math.max(most, running.inFlight());
    }, 1);
    client.socket.write(Buffer.concat(Array(60).fill(encodeCommand(command))));
    client.socket.write(encodeCommand(['ECHO', 'the end']));
    client.socket.resume();
    await eventually(
      'all is answered',
      () => client.chunks.at(-1)?.includes('the end') === true,
      30_000,
    );
    clearInterval(watching);
    if (command === script) assert.equal(most, READS_FIRST);
    else assert.ok(most > 0 && most <= MERGES_AHEAD * views.length, `${most} at once`);
    client.socket.destroy();
  }
});

test('many such clients share a turn', async (t) => {
  const { views } = await startShards(t, 1);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const other = await RawClient.open(running.port);
  const hellos = encodeCommand(['HELLO', '2']);
  const end = encodeCommand(['ECHO', 'the end']);
  /** Of each client, for one round of somebody else. */
  const asked = async (count: number): Promise<number> => {
    const clients = Array.from({ length: count }, () => new Reader(running.port, false));
    for (const client of clients) await client.login();
    const each = Math.floor(HELLOS / count);
    for (const { socket } of clients)
      socket.write(Buffer.concat([...Array(each).fill(hellos), end]));
    let rounds = 0;
    while (!clients.every(({ chunks }) => chunks.at(-1)?.includes('the end'))) {
      assert.equal(await other.ask('PING'), '+PONG\r\n');
      rounds++;
    }
    for (const { socket } of clients) socket.destroy();
    return HELLOS / rounds;
  };
  const [one, many] = [await asked(1), await asked(MANY)];
  assert.ok(many < 4 * one, `${many} between two turns of another, and ${one} of one client`);
  other.close();
});
