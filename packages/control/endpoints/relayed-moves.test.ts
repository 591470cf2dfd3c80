/**
 * What a client relies on while slots and primaries change under it, at the address of the whole cache
 * and at that of one shard: WATCH and EXEC, and what CLIENT TRACKING promised to say.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ListenAddress, ShardView } from '../../endpoint/control-protocol.ts';
import {
  agreed,
  instance,
  moveSlots,
  RawClient,
  startShards,
  switchPrimary,
} from '../../endpoint/proxy/testing-engines.ts';
import { eventually, freePorts } from '../../engine/testing.ts';
import { fleetRoom, startedFleet, viewOf } from './testing.ts';

/** Slot 5061, and one that does not move. */
const [KEY_MOVED, SLOT] = ['bar', 5061];

test('WATCH and tracking over moves of slots and changes of primaries', async (t) => {
  const { shards, views } = await startShards(t, 2, true);
  const [a, b] = shards;
  assert.ok(a?.replica && b);
  const fleet = await startedFleet(fleetRoom(t), 1);
  const [whole = 0, ...own] = await freePorts(3);
  const listen: ListenAddress[] = [whole, ...own].map((port, i) => ({
    host: '127.0.0.1',
    port,
    tls: false,
    ...(i === 0 ? {} : { shard: `test/${i - 1}` }),
  }));
  let epoch = 0;
  const said = views.map((view, i) => ({
    ...view,
    announce: { host: 'localhost', port: own[i] ?? 0 },
  }));
  const view = await viewOf(said[0] as ShardView, { policy: 'OSSCluster', listen, shards: said });
  const publish = async (next: readonly ShardView[]) => {
    assert.deepEqual(await fleet.publish(++epoch, [{ ...view, shards: next }]), []);
  };
  await publish(said);
  const [first, second] = said as [ShardView, ShardView];
  const moved: ShardView[] = [
    {
      ...first,
      slots: [
        [0, SLOT - 1],
        [SLOT + 1, 8191],
      ],
    },
    {
      ...second,
      slots: [
        [SLOT, SLOT],
        [8192, 16383],
      ],
    },
  ];
  const clients: RawClient[] = [];
  t.after(() => {
    for (const client of clients) client.close();
  });
  const open = async (port: number, protocol: 2 | 3 = 2): Promise<RawClient> => {
    const client = await RawClient.open(port, protocol);
    clients.push(client);
    return client;
  };
  const engines = shards.flatMap(({ primary, replica }) => [primary, replica ?? primary]);
  const ports = [whole, own[0] ?? 0];
  /** Watches at both addresses, then what changes, then EXEC of a write and of nothing with a key. */
  const watching = async (what: string, change: () => Promise<void>) => {
    const watchers = await Promise.all([...ports, ...ports].map((port) => open(port)));
    for (const each of watchers) assert.equal(await each.ask('WATCH', KEY_MOVED), '+OK\r\n');
    await change();
    for (const [i, each] of watchers.entries()) {
      const command = i < ports.length ? ['SET', KEY_MOVED, 'mine'] : ['PUBLISH', 'c', 'mine'];
      each.send(['MULTI'], command, ['EXEC']);
      const answer = (await each.settled()).toString();
      assert.match(answer, /(\*-1|-EXECABORT.*)\r\n$/, what);
    }
    for (const each of watchers) each.close();
  };
  const trackers = await Promise.all(ports.map((port) => open(port, 3)));
  for (const each of trackers) assert.equal(await each.ask('CLIENT', 'TRACKING', 'ON'), '+OK\r\n');
  const told = async (what: string, change: () => Promise<void>) => {
    for (const each of trackers) await each.ask('GET', KEY_MOVED);
    await change();
    for (const each of trackers) {
      await eventually(`${what} is told; got ${each.received}`, () =>
        /invalidate\r\n(_|\*1\r\n\$3\r\nbar)\r\n/.test(each.received.toString()),
      );
      each.received = Buffer.alloc(0);
    }
  };
  const foreign = await open(whole);
  const write = async (word: string) => {
    assert.equal(await foreign.ask('SET', KEY_MOVED, word), '+OK\r\n');
  };

  // Behind the address of one shard, as at its engine.
  const listeners = await Promise.all(
    ([2, 3] as const).map((protocol) => open(own[0] ?? 0, protocol)),
  );
  const confirmed = (word: string, protocol: number): string =>
    `${protocol === 3 ? '>' : '*'}3\r\n$${word.length}\r\n${word}\r\n$3\r\nbar\r\n:${word[1] === 's' ? 1 : 0}\r\n`;
  for (const [i, each] of listeners.entries()) {
    each.send(['SSUBSCRIBE', KEY_MOVED]);
    await eventually('it listens', () => each.received.length > 0);
    assert.equal(each.received.toString(), confirmed('ssubscribe', i + 2));
    each.received = Buffer.alloc(0);
  }
  await watching('a slot that went and changed', () =>
    told('a slot that went and changed', async () => {
      await moveSlots(a.primary, b.primary, SLOT, SLOT);
      await agreed(engines);
      await publish(moved);
      await write('foreign 1');
    }),
  );
  for (const [i, each] of listeners.entries()) {
    await eventually('it is told', () => each.received.length > 0);
    assert.equal(each.received.toString(), confirmed('sunsubscribe', i + 2));
    each.received = Buffer.alloc(0);
    each.send(['SSUBSCRIBE', KEY_MOVED]);
    await eventually('it is answered', () => each.received.length > 0);
    assert.equal(each.received.toString(), `-MOVED ${SLOT} localhost:${own[1]}\r\n`);
    each.close();
  }
  await moveSlots(b.primary, a.primary, SLOT, SLOT);
  await agreed(engines);
  await publish(said);
  await watching('a slot that went, changed, and came back', async () => {
    await moveSlots(a.primary, b.primary, SLOT, SLOT);
    await agreed(engines);
    await publish(moved);
    await write('foreign 2');
    await moveSlots(b.primary, a.primary, SLOT, SLOT);
    await agreed(engines);
    await publish(said);
  });
  const replica = a.replica;
  for (const port of ports) {
    const client = await open(port);
    const role = await client.ask('INFO', 'replication');
    assert.match(role, new RegExp(`^slave0:ip=127.0.0.1,port=${port},state=online`, 'm'));
    client.close();
  }
  const after: ShardView[] = [
    { ...first, primary: instance(replica), replicas: [instance(a.primary)] },
    second,
  ];
  await watching('a planned switch', () =>
    told('a planned switch', async () => {
      await switchPrimary(a.primary, replica);
      await publish(after);
      await write('foreign 3');
    }),
  );
  await watching('a crash', () =>
    told('a crash', async () => {
      await switchPrimary(replica, a.primary);
      process.kill(replica.process.pid, 'SIGKILL');
      await publish(said);
      await write('foreign 4');
    }),
  );
});
