/** Who came and went at the shards of an OSSCluster database, on a real engine. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { engineRoom, eventually, TEST_PASSWORDS } from '../../engine/testing.ts';
import { encodeCommand } from '../../resp/index.ts';
import type { ClusterRecord, DatabaseRecord, InstanceRecord } from '../store/records.ts';
import { type AuditEntry, ConnectionAudit } from './audit.ts';
import { AUDIT_MISSES } from './limits.ts';

test('who comes and goes is said once, ours are not, a new process counts anew', async (t) => {
  const room = await engineRoom(t);
  const engine = await room.start(await room.launch());
  const entries: AuditEntry[] = [];
  let pid = engine.process.pid;
  let answers = true;
  let policy = 'OSSCluster';
  const audit = new ConnectionAudit({
    // Of the records, only what is looked at.
    databases: () => [
      {
        cluster: {} as ClusterRecord,
        database: { id: 'db', settings: { policy } } as DatabaseRecord,
      },
    ],
    askEngines: async (_id, ask) => {
      if (!answers) return [];
      const instance = { id: engine.launch.instance, process: { pid } } as InstanceRecord;
      return [{ instance, role: 'primary', result: await ask(engine.link) }];
    },
    now: Date.now,
    write: (entry) => entries.push(entry),
  });
  const said = async (): Promise<string> => {
    await audit.look();
    return entries
      .splice(0)
      .map(({ kind, user, sampled }) => `${kind} ${user} ${sampled}`)
      .join();
  };
  const open = async (): Promise<Socket> => {
    const socket = connect(engine.launch.socket);
    t.after(() => socket.destroy());
    let text = '';
    socket.on('data', (chunk) => {
      text += String(chunk);
    });
    socket.write(encodeCommand(['AUTH', TEST_PASSWORDS.default]));
    await eventually('logged in', () => text === '+OK\r\n');
    return socket;
  };
  assert.equal(await said(), '');
  const first = await open();
  assert.equal(await said(), 'opened default true');
  assert.equal(await said(), '');
  await open();
  first.destroy();
  await eventually('the engine has seen it', async () => {
    const list = String(await engine.link.command(['CLIENT', 'LIST'], 2000));
    return list.match(/user=default/g)?.length === 1;
  });
  assert.equal(await said(), 'opened default true,closed default true');
  // Busy: nothing is said before it has missed some looks.
  answers = false;
  for (let i = 1; i < AUDIT_MISSES; i++) assert.equal(await said(), '');
  answers = true;
  assert.equal(await said(), '');
  pid += 1;
  assert.equal(await said(), 'opened default true');
  for (let i = 2; i < AUDIT_MISSES; i++) assert.equal(await said(), '');
  assert.equal(await said(), 'closed default true');
  policy = 'EnterpriseCluster';
  for (let i = 1; i < AUDIT_MISSES; i++) assert.equal(await said(), '');
  assert.equal(await said(), 'closed default true');
});
