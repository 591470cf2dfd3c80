/** The short way in and out of sockets, where it is not smooth: slow readers, closes, odd pieces. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { encodeCommand } from '../../resp/index.ts';
import { readInto, readsDirectly } from './direct-read.ts';
import { DirectWriter, writesDirectly } from './direct-write.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, Reader, startShards } from './testing-engines.ts';

/** Up to what still travels on a shared lane. */
const SIZES = [0, 3, 100, 1_000, 16_384, 20_000, 60_000, 65_536];
const LARGE_BYTES = 3_000_000;

/** No two keys have the same bytes, so a reply in the wrong place is seen. */
function valueFor(key: number): Buffer {
  return Buffer.alloc(SIZES[key % SIZES.length] ?? 0, `${key}|`);
}

function bulk(value: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`$${value.length}\r\n`), value, Buffer.from('\r\n')]);
}

test('this Node reads and writes without streams', () =>
  assert.ok(readsDirectly && writesDirectly));

test('under another Node the stream writes, and the rest is the same', async (t) => {
  const pieces = Array.from({ length: 50 }, (_, i) => Buffer.alloc(1 + i * 4000, `${i}`));
  const got: Buffer[] = [];
  const server = createServer((socket) => socket.on('data', (chunk: Buffer) => got.push(chunk)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  t.after(() => {
    socket.destroy();
    server.close();
  });
  const left = [...pieces];
  const owner = { written: () => next() };
  const writer = new DirectWriter(socket, owner, false);
  function next(): void {
    const piece = left.shift();
    if (piece === undefined) return;
    // It is never over at once, so the bytes must stay.
    assert.equal(writer.write(piece), false);
    assert.equal(writer.waiting, piece.length);
  }
  next();
  const all = Buffer.concat(pieces);
  await eventually('all of it', () => Buffer.concat(got).length === all.length);
  assert.ok(Buffer.concat(got).equals(all));
  await eventually('it is idle', () => !writer.busy);
});

test('what came before anybody read comes before the end that came with it', async (t) => {
  const heard: string[] = [];
  let accepted: Socket | undefined;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    accepted = socket;
    socket.read(0); // The kernel is asked, and what it has waits in the stream.
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  t.after(() => {
    client.destroy();
    accepted?.destroy();
    server.close();
  });
  client.end('last words');
  const state = (): { ended?: boolean } =>
    (accepted as unknown as { _readableState?: object } | undefined)?._readableState ?? {};
  await eventually('all of it is there', () => accepted?.readableLength === 10);
  accepted?.read(0);
  await eventually('and its end', () => state().ended === true);
  const buffer = Buffer.alloc(64);
  const socket = accepted;
  assert.ok(socket !== undefined);
  socket.on('end', () => heard.push('end'));
  // As from an event of the loop: ticks come before promises there.
  setImmediate(() => {
    readInto(socket, buffer, (length) => heard.push(buffer.toString('latin1', 0, length)));
    socket.resume();
  });
  await eventually('both are heard', () => heard.length >= 2);
  assert.deepEqual(heard, ['last words', 'end']);
});

for (const count of [1, 3]) {
  test(`slow readers get every byte in order, ${count} shard(s)`, async (t) => {
    const { room, views } = await startShards(t, count);
    const { certFile, keyFile } = room.tls;
    const running = await startProxy({
      shards: views,
      keys: { default: KEY },
      tls: { cert: readFileSync(certFile), key: readFileSync(keyFile) },
    });
    t.after(() => running.close());
    const a = await RawClient.open(running.port);
    for (let i = 0; i < 30; i++) a.send(['SET', `v${i}`, valueFor(i)]);
    await a.settled();
    const asked = Array.from({ length: 600 }, (_, i) => (i * 7) % 30);
    const expected = Buffer.concat(asked.map((i) => bulk(valueFor(i))));
    const request = Buffer.concat(asked.map((i) => encodeCommand(['GET', `v${i}`])));
    const behind = (): number =>
      [...running.proxy.sessions.values()].filter((session) => session.output.unwritten > 0).length;

    for (const tls of [false, true]) {
      const port = tls ? running.tlsPort : running.port;
      const kind = tls ? 'TLS' : 'plain';
      await t.test(`${kind}: late, and among others`, async () => {
        const slow = await Promise.all(
          [1, 2, 3].map(async () => {
            const reader = new Reader(port, tls);
            await reader.login();
            reader.socket.pause();
            reader.socket.write(request);
            return reader;
          }),
        );
        await eventually('the kernel takes no more', () => behind() === slow.length, 15_000);
        // The others are served meanwhile, out of buffers that nobody keeps.
        for (let i = 0; i < 30; i++) {
          a.send(['GET', `v${i}`]);
          const got = await a.settled();
          assert.ok(
            got.equals(bulk(valueFor(i))),
            `v${i}: ${got.length} bytes, ${got.subarray(0, 60)}`,
          );
        }
        for (const reader of slow) reader.socket.resume();
        for (const reader of slow) {
          await eventually('all of it', () => reader.bytes >= expected.length, 15_000);
          assert.ok(reader.take().equals(expected));
          reader.socket.destroy();
        }
      });

      await t.test(`${kind}: what is due comes before the last words`, async () => {
        const reader = new Reader(port, tls);
        await reader.login();
        reader.socket.pause();
        reader.socket.write(Buffer.concat([request, encodeCommand(['QUIT'])]));
        await eventually('the kernel takes no more', () => behind() > 0, 15_000);
        reader.socket.resume();
        await eventually('the end', () => reader.ended, 15_000);
        assert.ok(reader.take().equals(Buffer.concat([expected, Buffer.from('+OK\r\n')])));
      });

      await t.test(`${kind}: large values, one reader late and one not`, async () => {
        const large = Buffer.alloc(LARGE_BYTES, `large ${kind} `);
        await a.ask('SET', 'large', large);
        const late = new Reader(port, tls);
        const quick = new Reader(port, tls);
        await Promise.all([late.login(), quick.login()]);
        late.socket.pause();
        const wanted = Buffer.concat(Array.from({ length: 5 }, () => bulk(large)));
        for (const reader of [late, quick]) {
          for (let i = 0; i < 5; i++) reader.socket.write(encodeCommand(['GET', 'large']));
        }
        await eventually('the kernel takes no more', () => behind() > 0, 15_000);
        await eventually('the quick one has it', () => quick.bytes >= wanted.length, 15_000);
        assert.ok(quick.take().equals(wanted));
        late.socket.resume();
        await eventually('the late one has it', () => late.bytes >= wanted.length, 15_000);
        assert.ok(late.take().equals(wanted));
        late.socket.destroy();
        quick.socket.destroy();
      });

      await t.test(`${kind}: gone in the middle`, async () => {
        for (let i = 0; i < 5; i++) {
          const reader = new Reader(port, tls);
          await reader.login();
          reader.socket.pause();
          reader.socket.write(request);
          await eventually('the kernel takes no more', () => behind() > 0, 15_000);
          reader.socket.destroy();
          await eventually('nobody is behind', () => behind() === 0, 15_000);
        }
        assert.equal(await a.ask('PING'), '+PONG\r\n');
      });
    }

    await t.test('a long pipeline in odd pieces, plain and other commands mixed', async () => {
      const commands: Buffer[] = [];
      const replies: Buffer[] = [];
      for (let i = 0; i < 20_000; i++) {
        const value = Buffer.alloc(i % 97, `${i}`);
        commands.push(
          encodeCommand(['SET', `p${i % 50}`, value]),
          encodeCommand(['GET', `p${i % 50}`]),
        );
        replies.push(Buffer.from('+OK\r\n'), bulk(value));
        if (i % 1000 === 0) {
          commands.push(encodeCommand(['ECHO', `${i}`]), Buffer.from('PING\r\n'));
          replies.push(bulk(Buffer.from(`${i}`)), Buffer.from('+PONG\r\n'));
        }
      }
      const reader = new Reader(running.port, false);
      await reader.login();
      const sent = Buffer.concat(commands);
      for (let at = 0, i = 0; at < sent.length; i++) {
        const length = 1 + ((i * 7919) % 30_000);
        reader.socket.write(sent.subarray(at, at + length));
        at += length;
      }
      const wanted = Buffer.concat(replies);
      await eventually('all answers', () => reader.bytes >= wanted.length, 15_000);
      assert.ok(reader.take().equals(wanted));
      reader.socket.destroy();
    });
    a.close();
  });
}
