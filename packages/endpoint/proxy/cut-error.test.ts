/**
 * An engine's bytes come in whatever pieces the kernel makes of them. Here they go through a relay that
 * cuts an error in the middle of its line, when the lane's buffer still holds others' answers behind it.
 */
import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, startShards } from './testing-engines.ts';

/** Many lines, so that what lies behind the cut has ends of lines. */
const OTHERS = 'of somebody else\r\n'.repeat(1000);
const CUT_AT = 10;

test('an error that comes in two pieces is its own, and nothing of what lay in the buffer', async (t) => {
  const { room, shards, views } = await startShards(t, 1);
  const [view] = views;
  const engine = shards[0]?.primary.launch.socket;
  assert.ok(view?.primary && engine !== undefined);
  let cutting = false;
  const rests: (() => void)[] = [];
  const relayed = (from: Socket, to: Socket): void => {
    from.on('data', (chunk: Buffer) => {
      const at = cutting ? chunk.indexOf('-ERR') + CUT_AT : 0;
      if (at <= CUT_AT) return void to.write(chunk);
      to.write(chunk.subarray(0, at));
      rests.push(() => to.write(chunk.subarray(at)));
    });
    from.on('close', () => to.destroy());
    from.on('error', () => from.destroy());
  };
  const relay = createServer((socket) => {
    const upstream = connect(engine);
    relayed(socket, upstream);
    relayed(upstream, socket);
  });
  const path = join(room.folder, 'relay.sock');
  await new Promise<void>((resolve) => relay.listen(path, resolve));
  const running = await startProxy({
    shards: [{ ...view, primary: { ...view.primary, socket: path } }],
    keys: { default: KEY },
  });
  t.after(async () => {
    await running.close();
    await new Promise((resolve) => relay.close(resolve));
  });
  const other = await RawClient.open(running.port);
  const client = await RawClient.open(running.port);
  await other.ask('SET', 'others', OTHERS);
  await other.ask('SET', 'word', 'x');
  for (let round = 0; round < 5; round++) {
    await other.ask('GET', 'others');
    cutting = true;
    client.send(['GET', 'word'], ['INCR', 'word']);
    await eventually('the first piece', () => rests.length > 0 && client.received.includes('x'));
    cutting = false;
    for (const rest of rests.splice(0)) rest();
    assert.equal(
      (await client.settled()).toString(),
      '$1\r\nx\r\n-ERR value is not an integer or out of range\r\n',
    );
    assert.equal(await client.ask('GET', 'word'), '$1\r\nx\r\n');
  }
  other.close();
  client.close();
});
