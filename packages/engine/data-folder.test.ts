/** What an engine may load, what is kept, and what is removed: on real engines and real files. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { rolePath } from './config.ts';
import { EngineError, LocalNode } from './index.ts';
import { KEPT_NODES_FILES } from './limits.ts';
import { engineRoom, eventually, freePorts, testEngine } from './testing.ts';

const MS = 2000;

function refused(code: string): (error: unknown) => boolean {
  return (error) => error instanceof EngineError && error.code === code;
}

test('the file of an orderly stop is loaded once, and never again', async (t) => {
  const room = await engineRoom(t);
  const launch = await room.launch();
  const first = await room.start(launch);
  await first.link.command(['SET', 'kept', 'yes'], MS);
  await first.link.save(MS);
  await room.node.kill(first.process, MS);
  const file = await room.node.dataFile(launch.dataDir);
  assert.ok(file !== null);
  assert.match(file.sha256, /^[0-9a-f]{64}$/);
  assert.equal(file.bytes, statSync(file.path).size);

  const second = await room.start({ ...launch, load: 'files' });
  assert.equal((await second.link.facts(MS)).keys, 1);
  await room.node.consumeDataFile(launch.dataDir);
  await room.node.consumeDataFile(launch.dataDir);
  assert.equal(await room.node.dataFile(launch.dataDir), null);
  assert.ok(existsSync(`${file.path}.consumed`));
  await room.node.kill(second.process, MS);

  const third = await room.start({ ...launch, load: 'files' });
  assert.equal((await third.link.facts(MS)).keys, 0, 'a consumed file was loaded again');
});

test('room for a role is asked for only where an engine would end itself without', async (t) => {
  const room = await engineRoom(t);
  const launch = await room.launch();
  await room.start(launch);
  const role = join(launch.dataDir, 'nodes.conf');
  const trial = `${role}.trial`;
  // Whatever stands in the way of writing it: here it cannot be made at all.
  mkdirSync(join(trial, 'full'), { recursive: true });
  assert.equal(room.node.canWriteRole(launch.dataDir), true, 'its role lies elsewhere');
  writeFileSync(role, '');
  assert.equal(room.node.canWriteRole(launch.dataDir), false);
  assert.equal(existsSync(trial), false, 'what is left of it would take room');
  assert.equal(room.node.canWriteRole(launch.dataDir), true);
  assert.equal(existsSync(trial), false);
});

test('a file that was set aside as read comes back by its digest, and over nothing newer', async (t) => {
  const room = await engineRoom(t);
  const launch = await room.launch();
  const first = await room.start(launch);
  await first.link.save(MS);
  const file = await room.node.dataFile(launch.dataDir);
  assert.ok(file !== null);
  await room.node.consumeDataFile(launch.dataDir);
  assert.equal(await room.node.reviveDataFile(launch.dataDir, 'another'), false);
  assert.equal(await room.node.reviveDataFile(launch.dataDir, file.sha256), true);
  assert.deepEqual(await room.node.dataFile(launch.dataDir), file);
  assert.equal(await room.node.reviveDataFile(launch.dataDir, file.sha256), false);
  await room.node.consumeDataFile(launch.dataDir);
  await first.link.command(['SET', 'newer', 'yes'], MS);
  await first.link.save(MS);
  assert.equal(await room.node.reviveDataFile(launch.dataDir, file.sha256), false);
});

test('load nothing: leftover snapshots and logs cannot come back, and are not lost', async (t) => {
  const room = await engineRoom(t);
  const launch = await room.launch({ settings: { appendonly: 'yes' } });
  const first = await room.start(launch);
  await first.link.command(['SET', 'old', 'value'], MS);
  await first.link.save(MS);
  await room.node.kill(first.process, MS);
  writeFileSync(join(launch.dataDir, 'temp-123.rdb'), 'half');
  assert.ok(existsSync(join(launch.dataDir, 'appendonlydir')));

  const second = await room.start(launch);
  assert.equal((await second.link.facts(MS)).keys, 0);
  assert.deepEqual(readdirSync(join(launch.dataDir, 'leftover')).sort(), [
    'appendonlydir',
    'dump.rdb',
  ]);
  assert.equal(existsSync(join(launch.dataDir, 'temp-123.rdb')), false, 'half a file is rubbish');
  await room.node.kill(second.process, MS);
  const third = await room.start(launch);
  assert.ok(
    existsSync(join(launch.dataDir, 'leftover.2')),
    'earlier leftovers are not overwritten',
  );
  await third.link.command(['SET', 'new', 'value'], MS);
  await room.node.kill(third.process, MS);
  const fourth = await room.start({ ...launch, load: 'files' });
  await eventually('its own log is loaded', async () => {
    return String(await fourth.link.command(['GET', 'new'], MS)) === 'value';
  });
});

test('a file that is no snapshot is not offered', async (t) => {
  const room = await engineRoom(t);
  const launch = await room.launch();
  assert.equal(await room.node.dataFile(launch.dataDir), null);
  mkdirSync(launch.dataDir, { recursive: true });
  writeFileSync(join(launch.dataDir, 'dump.rdb'), '');
  assert.equal(await room.node.dataFile(launch.dataDir), null);
  writeFileSync(join(launch.dataDir, 'dump.rdb'), 'something else');
  assert.equal(await room.node.dataFile(launch.dataDir), null);
});

test('each start writes the role anew and keeps the last few role files', async (t) => {
  const room = await engineRoom(t);
  const plain = await room.launch();
  const at = (epoch: number) => ({
    ...plain,
    role: {
      kind: 'cluster' as const,
      members: [
        {
          id: plain.instance,
          host: '127.0.0.1',
          port: plain.port,
          busPort: plain.busPort,
          primaryId: null,
          epoch,
          slots: [],
        },
      ],
      myself: plain.instance,
    },
  });
  for (let epoch = 1; epoch <= KEPT_NODES_FILES + 3; epoch++) {
    const process = await room.spawn(at(epoch));
    await room.node.kill(process, MS);
  }
  const names = readdirSync(plain.dataDir).filter((name) => name.startsWith('nodes.conf'));
  assert.equal(names.length, KEPT_NODES_FILES);
  const present = rolePath(plain.socket);
  assert.match(readFileSync(present, 'utf8'), new RegExp(`currentEpoch ${KEPT_NODES_FILES + 3} `));
  assert.equal(statSync(present).mode & 0o777, 0o600);
  const last = KEPT_NODES_FILES + 2;
  assert.match(
    readFileSync(join(plain.dataDir, `nodes.conf.${last}`), 'utf8'),
    new RegExp(`currentEpoch ${last} `),
  );
  await room.node.removeData(plain.dataDir, plain.socket);
  assert.equal(existsSync(present), false);
});

test('everything secret is readable by its owner only', async (t) => {
  const room = await engineRoom(t);
  const { launch } = await room.start(await room.launch());
  const mode = (path: string): number => statSync(path).mode & 0o777;
  assert.equal(mode(launch.dataDir), 0o700);
  for (const name of readdirSync(launch.dataDir)) {
    assert.equal(mode(join(launch.dataDir, name)) & 0o077, 0, name);
  }
  assert.equal(mode(launch.socket), 0o600);
  assert.equal(mode(join(launch.socket, '..')), 0o700);
  chmodSync(launch.dataDir, 0o755);
  await room.spawn({ ...launch, socket: `${launch.socket}2`, port: (await freePorts(1))[0] ?? 0 });
  assert.equal(mode(launch.dataDir), 0o700, 'a folder that was opened is closed again');
});

test('folders of others and sockets that are too long are refused before anything is written', async (t) => {
  const room = await engineRoom(t);
  const launch = await room.launch();
  await assert.rejects(
    room.node.start({ ...launch, socket: join(room.folder, 's', 'x'.repeat(100)) }),
    refused('socket-path-too-long'),
  );
  if (process.getuid?.() !== 0) {
    await assert.rejects(
      room.node.start({ ...launch, socket: '/proc/x.sock' }),
      refused('folder-not-ours'),
    );
  }
});

test('folders set aside are kept apart and dropped together; removal leaves nothing', async (t) => {
  const room = await engineRoom(t);
  const root = join(room.folder, 'data');
  const { node } = room;
  const dir = join(root, 'i1');
  const other = join(root, 'i10');
  mkdirSync(other, { recursive: true });
  await node.setAside(dir, 'e1');
  for (const _ of [1, 2]) {
    mkdirSync(dir);
    await node.setAside(dir, 'e1');
  }
  assert.deepEqual(readdirSync(root).sort(), ['i1.e1', 'i1.e1.2', 'i10']);
  await assert.rejects(node.setAside(dir, '../x'), refused('bad-label'));
  await node.dropAside(dir);
  assert.deepEqual(readdirSync(root), ['i10']);
  mkdirSync(dir);
  mkdirSync(join(root, 'i1.e2'));
  writeFileSync(join(room.folder, 'sock'), '');
  for (const _ of [1, 2]) await node.removeData(dir, join(room.folder, 'sock'));
  assert.deepEqual(readdirSync(root), ['i10']);
  assert.equal(existsSync(join(room.folder, 'sock')), false);
});

test('a port is free only if nobody holds it', async (t) => {
  const room = await engineRoom(t);
  const { launch } = await room.start(await room.launch());
  assert.equal(await room.node.portIsFree('127.0.0.1', launch.port), false);
  const [free = 0] = await freePorts(1);
  assert.equal(await room.node.portIsFree('127.0.0.1', free), true);
  assert.equal(await room.node.portIsFree('127.0.0.1', free), true);
});

test('an engine that cannot be started is an error, not a silence', async (t) => {
  const room = await engineRoom(t);
  const engine = await testEngine();
  const node = new LocalNode({
    id: 'broken',
    dataRoot: join(room.folder, 'data'),
    engine: { ...engine, server: { file: '/nonexistent/valkey-server', argsBefore: [] } },
  });
  await assert.rejects(node.start(await room.launch()), refused('engine-not-started'));
});
