/**
 * Many readers that stop and go on as they like, on plain connections and TLS, with small and large
 * values, among others who want to be served meanwhile. Everything is drawn from a seed: who asks for
 * what, in which pieces, who reads when. Whatever the readers do, everybody else is answered, and each
 * of them gets every byte in its order in the end.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { encodeCommand } from '../../resp/index.ts';
import { BULK_READING, BULK_SHARE_BYTES, CLIENT_HIGH_WATER, READS_FIRST } from './limits.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, Reader, startShards } from './testing-engines.ts';

/** Around what travels on a shared lane, around one read, and several reads long. */
const SIZES = [0, 100, 16_384, 40_000, 65_500, 65_536, 66_000, 100_000, 131_072, 300_000];
const KEYS = 40;
const READERS = 8;
const ROUNDS = Number(process.env['CINNABAR_READER_ROUNDS'] ?? 4);
const MOST_READERS = 20;
const DEADLINE_MS = 20_000;

/** xorshift: small, and the same everywhere. */
function random(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function valueFor(key: number): Buffer {
  return Buffer.alloc(SIZES[key % SIZES.length] ?? 0, `${key}|`);
}

function bulk(value: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`$${value.length}\r\n`), value, Buffer.from('\r\n')]);
}

const REPLIES = Array.from({ length: KEYS }, (_, key) => bulk(valueFor(key)));

/** What one reader has asked for and not yet been given. */
class Lazy {
  readonly reader: Reader;
  #due: Buffer[] = [];
  #at = 0;

  constructor(reader: Reader) {
    this.reader = reader;
    reader.socket.removeAllListeners('data');
    reader.socket.on('data', (chunk: Buffer) => this.#check(chunk));
  }

  get owed(): number {
    return this.#due.length;
  }

  wrong = '';

  ask(keys: readonly number[], next: (below: number) => number): void {
    for (const key of keys) this.#due.push(REPLIES[key] ?? Buffer.alloc(0));
    const request = Buffer.concat(keys.map((key) => encodeCommand(['GET', `v${key}`])));
    for (let at = 0; at < request.length; ) {
      const length = 1 + next(next(2) === 0 ? 40 : 4000);
      this.reader.socket.write(request.subarray(at, at + length));
      at += length;
    }
  }

  #check(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && this.wrong === ''; ) {
      const [first] = this.#due;
      if (first === undefined) {
        this.wrong = `more than was asked for: ${chunk.subarray(at, at + 100).toString('latin1')}`;
        return;
      }
      const length = Math.min(chunk.length - at, first.length - this.#at);
      if (chunk.compare(first, this.#at, this.#at + length, at, at + length) !== 0) {
        this.wrong = `other bytes: ${chunk.subarray(at, at + 100).toString('latin1')}`;
        return;
      }
      at += length;
      this.#at += length;
      if (this.#at < first.length) continue;
      this.#due.shift();
      this.#at = 0;
    }
  }
}

for (const count of [1, 3]) {
  test(`readers who stop hold up nobody else, ${count} shard(s)`, async (t) => {
    const seed = Number(process.env['CINNABAR_READER_SEED'] ?? randomInt(2 ** 31));
    const next = random(seed);
    const { room, views } = await startShards(t, count);
    const { certFile, keyFile } = room.tls;
    const running = await startProxy({
      shards: views,
      keys: { default: KEY },
      tls: { cert: readFileSync(certFile), key: readFileSync(keyFile) },
    });
    t.after(() => running.close());
    const others = await Promise.all([RawClient.open(running.port), RawClient.open(running.port)]);
    for (let key = 0; key < KEYS; key++) others[0].send(['SET', `v${key}`, valueFor(key)]);
    await others[0].settled();
    const lazy: Lazy[] = [];
    for (let i = 0; i < READERS; i++) {
      const reader = new Reader(i % 2 === 0 ? running.port : running.tlsPort, i % 2 === 1);
      await reader.login();
      lazy.push(new Lazy(reader));
    }
    const where = `seed ${seed}`;
    for (let round = 0; round < ROUNDS; round++) {
      for (const each of lazy) {
        if (next(3) === 0) each.reader.socket.resume();
        else each.reader.socket.pause();
      }
      for (const each of lazy) {
        const wanted = next(4) === 0 ? 400 : next(60);
        const keys = Array.from({ length: wanted }, () => next(KEYS));
        if (each.owed < 600) each.ask(keys, next);
        if (next(3) === 0) each.reader.socket.pause();
      }
      for (let i = 0; i < 12; i++) {
        const keys = Array.from({ length: 1 + next(6) }, () => next(KEYS));
        const other = others[next(2)] ?? others[0];
        for (const key of keys) other.send(['GET', `v${key}`]);
        const got = await other.settled(DEADLINE_MS).catch((error: unknown) => {
          throw new Error(`${where}, round ${round}, ${keys}: ${String(error)}`);
        });
        assert.ok(got.equals(Buffer.concat(keys.map((key) => REPLIES[key] ?? got))), where);
      }
      for (const each of lazy) assert.equal(each.wrong, '', where);
    }
    for (const each of lazy) each.reader.socket.resume();
    await eventually(
      `everything that was asked for (${where})`,
      () => lazy.every((each) => each.owed === 0 || each.wrong !== ''),
      3 * DEADLINE_MS,
    );
    for (const each of lazy) {
      assert.equal(each.wrong, '', where);
      each.reader.socket.destroy();
    }
    for (const other of others) other.close();
    assert.deepEqual(
      running.reasons.filter((reason) => reason !== 'client-closed'),
      [],
    );
  });
}

test('a reader who stops at the end of a reply leaves the lane to others', async (t) => {
  const { views } = await startShards(t, 1);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const other = await RawClient.open(running.port);
  const value = Buffer.alloc(66_000, 'x');
  await other.ask('SET', 'large', value);
  // Reply by reply. Nearly always the first read of one makes it too many, and the second is the last.
  let complete = 0;
  for (let i = 0; i < MOST_READERS && complete < 2; i++) {
    const reader = new Reader(running.port, false);
    await reader.login();
    reader.socket.pause();
    const session = [...running.proxy.sessions.values()].at(-1);
    assert.ok(session);
    let asked = 0;
    while (session.output.unwritten <= CLIENT_HIGH_WATER) {
      reader.socket.write(encodeCommand(['GET', 'large']));
      asked++;
      await eventually('it is answered, or waited for', () => {
        const full = session.output.unwritten > CLIENT_HIGH_WATER;
        return session.commands === asked + 1 && (session.atBoundary || full);
      });
    }
    if (session.atBoundary) complete++;
    assert.ok((await other.ask('GET', 'large')).startsWith('$66000'));
    reader.socket.resume();
    await eventually('all of it', () => reader.bytes === asked * bulk(value).length);
    reader.socket.destroy();
  }
  assert.ok(complete > 0, 'no reader stopped where it should');
  other.close();
});

test('large replies to one shard take turns, and who stops in the middle of one has none', async (t) => {
  const { views } = await startShards(t, 1);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const writer = await RawClient.open(running.port);
  const value = Buffer.alloc(5 * BULK_SHARE_BYTES, 'x');
  await writer.ask('SET', 'large', value);
  await writer.ask('GET', 'large');
  const readers = Array.from(
    { length: 2 * BULK_READING + 2 },
    () => new Reader(running.port, false),
  );
  for (const reader of readers) await reader.login();
  const stopped = readers.slice(0, BULK_READING);
  for (const reader of stopped) {
    reader.socket.pause();
    reader.socket.write(encodeCommand(['GET', 'large']));
  }
  const sessions = [...running.proxy.sessions.values()].slice(1, 1 + stopped.length);
  await eventually('they have stopped', () =>
    sessions.every((session) => session.output.unwritten > CLIENT_HIGH_WATER),
  );
  const going = readers.slice(BULK_READING);
  for (const reader of going) reader.socket.write(encodeCommand(['GET', 'large']));
  const size = bulk(value).length;
  await eventually('the others have everything', () =>
    going.every((reader) => reader.bytes === size),
  );
  for (const reader of stopped) reader.socket.resume();
  await eventually('and so have they', () => stopped.every((reader) => reader.bytes === size));
  for (const reader of readers) reader.socket.destroy();
  writer.close();
});

test('who reads one large value after the other surprises others once', async (t) => {
  const { views } = await startShards(t, 1);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const a = await RawClient.open(running.port);
  const value = Buffer.alloc(200_000, 'x');
  for (let i = 0; i < 6; i++) a.send(['SET', `large${i}`, value]);
  await a.settled();
  await a.ask('SET', 'small', '1');
  const [shard] = running.proxy.world.topology.shards;
  assert.ok(shard);
  const shared = () => [...shard.groups.values()].map((group) => group.small);
  const before = shared();
  await a.ask('GET', 'large0');
  const after = shared();
  assert.notDeepEqual(after, before);
  // Keys that nobody has read yet. What is asked for behind one of them is not in the way of others.
  for (let i = 1; i < 6; i++) assert.ok((await a.ask('GET', `large${i}`)).startsWith('$200000'));
  assert.ok(shared().every((lane, i) => lane === after[i]));
  // With a small reply it is forgotten.
  assert.equal(await a.ask('GET', 'small'), '$1\r\n1\r\n');
  assert.equal([...running.proxy.sessions.values()].at(-1)?.state.largeCommand, -1);
  a.close();
});

test('small reads behind a first large reply are asked for elsewhere, and nothing is done twice', async (t) => {
  const { shards, views } = await startShards(t, 1);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const link = shards[0]?.primary.link;
  assert.ok(link);
  const calls = async (command: string): Promise<number> => {
    const stats = String(await link.command(['INFO', 'commandstats'], DEADLINE_MS));
    return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
  };
  const [large, reader, writer] = await Promise.all([
    RawClient.open(running.port),
    RawClient.open(running.port),
    RawClient.open(running.port),
  ]);
  const value = Buffer.alloc(2 * BULK_SHARE_BYTES, 'x');
  await writer.ask('SET', 'small', 'v');
  let again = 0;
  for (let i = 0; i < MOST_READERS && again === 0; i++) {
    await writer.ask('SET', `large${i}`, value);
    await large.ask('GET', 'small');
    const before = { get: await calls('get'), incr: await calls('incr') };
    large.send(['GET', `large${i}`]);
    reader.send(['GET', 'small'], ['STRLEN', 'small'], ['GET', 'small']);
    writer.send(['GET', 'n'], ['INCR', 'n'], ['GET', 'n']);
    const [got, read, wrote] = await Promise.all([
      large.settled(DEADLINE_MS),
      reader.settled(DEADLINE_MS),
      writer.settled(DEADLINE_MS),
    ]);
    assert.ok(got.equals(bulk(value)));
    assert.equal(read.toString(), '$1\r\nv\r\n:1\r\n$1\r\nv\r\n');
    const n = i === 0 ? '$-1\r\n' : `$${String(i).length}\r\n${i}\r\n`;
    assert.equal(wrote.toString(), `${n}:${i + 1}\r\n$${String(i + 1).length}\r\n${i + 1}\r\n`);
    const after = { get: await calls('get'), incr: await calls('incr') };
    assert.equal(after.incr - before.incr, 1);
    // Five without the reader's two again; the writer's are never asked for again.
    again = after.get - before.get - 5;
    assert.ok(again === 0 || again === 2, `${again}`);
  }
  assert.equal(again, 2, 'the reader was never behind the large reply');
  for (const client of [large, reader, writer]) client.close();
});

test('the engine keeps no more for a client than it may, and who asks for more is told why', async (t) => {
  const { shards, views } = await startShards(t, 1);
  const outputBufferBytes = 8 * BULK_SHARE_BYTES;
  const limit = ['CONFIG', 'SET', 'client-output-buffer-limit', `normal ${outputBufferBytes} 0 0`];
  await shards[0]?.primary.link.command(limit, DEADLINE_MS);
  const running = await startProxy({
    shards: views,
    keys: { default: KEY },
    view: { limits: { maxConnections: 1000, idleTimeoutMs: 600_000, outputBufferBytes } },
  });
  t.after(() => running.close());
  const writer = await RawClient.open(running.port);
  const value = Buffer.alloc(BULK_SHARE_BYTES, 'x');
  const get = encodeCommand(['GET', 'large']);
  const asks = Array.from({ length: 20 }, () => get);
  await writer.ask('SET', 'large', value);
  // More than the limit, of keys that nobody has read yet, on a lane that others use meanwhile.
  const unread = Buffer.alloc(outputBufferBytes / (READS_FIRST + 8), 'x');
  const names = Array.from({ length: 3 * READS_FIRST }, (_, i) => `unread${i}`);
  for (const name of names) writer.send(['SET', name, unread]);
  await writer.settled(DEADLINE_MS);
  const pipeline = new Reader(running.port, false);
  await pipeline.login();
  pipeline.socket.write(Buffer.concat(names.map((name) => encodeCommand(['GET', name]))));
  let writes = 0;
  const all = names.length * bulk(unread).length;
  while (pipeline.bytes < all) {
    assert.equal(await writer.ask('INCR', 'n'), `:${++writes}\r\n`);
    assert.deepEqual(running.reasons, []);
  }
  // Nobody knows that it is large: all of it is asked for at once.
  const surprise = new Reader(running.port, false);
  await surprise.login();
  surprise.socket.pause();
  surprise.socket.write(Buffer.concat(asks));
  const stopped = (count: number) => () =>
    [...running.proxy.sessions.values()]
      .slice(-count)
      .every((session) => session.output.unwritten > CLIENT_HIGH_WATER);
  const over = (): boolean => running.reasons.length > 0;
  await eventually('it has stopped, or was ended', () => over() || stopped(1)(), DEADLINE_MS);
  surprise.socket.resume();
  const size = asks.length * bulk(value).length;
  // The engine ends it if it made the replies faster than the lane was read, which is a matter of luck.
  await eventually(
    'it is ended, or has everything',
    () => over() || surprise.bytes === size,
    DEADLINE_MS,
  );
  const ended = surprise.bytes === size ? [] : ['output-buffer-limit'];
  assert.deepEqual(running.reasons, ended);
  const lost = (): number => running.events.filter(({ kind }) => kind === 'shard-lost').length;
  const before = lost();
  const readers = Array.from({ length: 5 }, () => new Reader(running.port, false));
  for (const reader of readers) {
    await reader.login();
    reader.socket.pause();
    reader.socket.write(Buffer.concat(asks));
  }
  await eventually('all have stopped', stopped(readers.length), DEADLINE_MS);
  for (const reader of readers) reader.socket.resume();
  await eventually(
    'everything that was asked for',
    () => readers.every((reader) => reader.bytes === size),
    DEADLINE_MS,
  );
  assert.equal(lost(), before);
  assert.deepEqual(running.reasons, ended);
  for (const reader of [pipeline, surprise, ...readers]) reader.socket.destroy();
  writer.close();
});
