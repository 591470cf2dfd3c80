/** Real worker processes: what clients see is the database's, whichever worker they reached. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { NUMBERS_A_BLOCK } from '../../endpoint/limits.ts';
import { engineRoom, eventually, TEST_PASSWORDS } from '../../engine/testing.ts';
import { fleetRoom, instanceOf, RawClient, shardOf, startedFleet, viewOf } from './testing.ts';

const MS = 3000;

test('two worker processes look like one, also while one is mute and after a reload', async (t) => {
  const engines = await engineRoom(t);
  const engine = await engines.start(await engines.launch());
  const room = fleetRoom(t);
  const fleet = await startedFleet(room, 2);
  const key = TEST_PASSWORDS.default;
  const view = await viewOf(shardOf(instanceOf(engine)), {
    policy: 'NoCluster',
    users: [
      {
        name: 'default',
        secretHashes: [createHash('sha256').update(key).digest('hex')],
        twin: { name: 'default', password: key },
      },
    ],
  });
  await fleet.publish(1, [view]);
  const clients: RawClient[] = [];
  const numbers = new Set<number>();
  const open = async (): Promise<RawClient> => {
    const client = await new RawClient(view.port).ready();
    assert.equal(await client.ask('AUTH', key), '+OK\r\n');
    numbers.add(Number((await client.ask('CLIENT', 'ID')).slice(1)));
    clients.push(client);
    return client;
  };
  t.after(() => {
    for (const client of clients) client.close();
  });
  /** Workers take their numbers from blocks of their own. */
  const blocks = (): number =>
    new Set([...numbers].map((n) => Math.ceil(n / NUMBERS_A_BLOCK))).size;
  while (blocks() < 2 || clients.length < 8) await open();
  assert.equal(numbers.size, clients.length);
  const listed = async (client: RawClient): Promise<number> => {
    client.text = '';
    client.send('CLIENT', 'LIST');
    const text = await client.until('a list', (c) => /^\$\d+\r\n.*\r\n$/s.test(c.text));
    return text.split('id=').length - 1;
  };
  for (const client of clients) {
    await eventually('all are listed', async () => (await listed(client)) === clients.length);
  }

  const [stopped] = fleet.status().workers;
  assert.ok(stopped);
  process.kill(stopped.pid, 'SIGSTOP');
  const answering: RawClient[] = [];
  for (const client of clients) {
    client.text = '';
    client.send('PING');
  }
  await eventually('those of the other worker answer', () => {
    answering.splice(0, answering.length, ...clients.filter((c) => c.text === '+PONG\r\n'));
    return answering.length > 0;
  });
  const [client] = answering;
  assert.ok(client);
  const seen = await listed(client);
  assert.ok(seen > 0 && seen < clients.length);
  await eventually('it is said', () =>
    room.events.some((e) => e.kind === 'limit' && e.limit === 'peer-mute'),
  );
  process.kill(stopped.pid, 'SIGCONT');
  await eventually('whole again', async () => (await listed(client)) === clients.length);

  // A script that one worker was shown is known to the workers that come after it.
  await client.ask('SCRIPT', 'LOAD', 'return 42');
  const sha = createHash('sha1').update('return 42').digest('hex');
  const before = fleet.status().workers.map((worker) => worker.pid);
  await fleet.reload();
  await eventually('all old clients are gone', () => clients.every((c) => c.ended || c.closed));
  const after = await open();
  assert.ok(fleet.status().workers.some((worker) => !before.includes(worker.pid)));
  await engine.link.command(['SCRIPT', 'FLUSH'], MS);
  assert.equal(await after.ask('EVALSHA', sha, '0'), ':42\r\n');
  assert.equal(numbers.size, clients.length);
});
