import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { RespError } from '../resp/index.ts';
import type { ProcessRef } from './contract.ts';
import { LocalNode } from './local-node.ts';
import { inspectProcess } from './procfs.ts';
import { engineRoom, eventually, testEngine } from './testing.ts';

const MS = 2000;

test('an engine starts, is found and inspected, answers, and is ended', async (t) => {
  const room = await engineRoom(t);
  const launch = await room.launch({ settings: { maxmemory: '64mb' } });
  const started = performance.now();
  const engine = await room.start(launch);
  t.diagnostic(`start to first answer ${Math.round(performance.now() - started)} ms`);
  assert.deepEqual(await room.node.find(), [{ dataDir: launch.dataDir, process: engine.process }]);
  const facts = room.node.inspect(engine.process);
  assert.equal(facts.state, 'running');
  assert.ok(facts.rssBytes > 1e6);
  assert.equal(await engine.link.ping(MS), 'pong');
  assert.equal(await engine.link.command(['SET', 'a', '1'], MS), 'OK');
  const seen = await engine.link.facts(MS);
  assert.equal(seen.role, 'primary');
  assert.equal(seen.keys, 1);
  assert.equal(seen.cluster, null);
  assert.match(seen.version, /^(?:valkey|redis) \d+\.\d+/);
  assert.equal(
    (await engine.link.readSettings(['maxmemory'], MS))['maxmemory'],
    String(64 * 1024 ** 2),
  );

  const closed = new Promise((resolve) => engine.link.onClose(resolve));
  await room.node.kill(engine.process, MS);
  await closed;
  assert.equal(room.node.inspect(engine.process).state, 'gone');
  assert.deepEqual(await room.node.find(), []);
});

test('standalone: an engine started fenced refuses reads and writes until it is told whom to follow', async (t) => {
  const room = await engineRoom(t);
  const primary = await room.start(await room.launch());
  await primary.link.command(['SET', 'a', '1'], MS);
  const fenced = await room.start(await room.launch({ role: { kind: 'fenced' } }));
  for (const command of [['SET', 'b', '1'], ['GET', 'b'], ['FLUSHALL']]) {
    const reply = await fenced.link.command(command, MS);
    assert.ok(reply instanceof RespError, command.join(' '));
    assert.match(reply.code, /^(?:READONLY|MASTERDOWN)$/);
  }
  assert.equal(await fenced.link.ping(MS), 'pong');
  await fenced.link.follow({ id: '', host: '127.0.0.1', port: primary.launch.port }, MS);
  const facts = await eventually('the replica is in sync', async () => {
    const now = await fenced.link.facts(MS);
    return now.link === 'up' && !now.syncing && now.keys === 1 ? now : null;
  });
  assert.equal(facts.primaryPort, primary.launch.port);
  assert.equal((await primary.link.facts(MS)).followers.length, 1);
});

test('a data root behind a link: engines are found under the names that were recorded', async (t) => {
  const room = await engineRoom(t);
  const link = join(room.folder, 'link');
  mkdirSync(join(room.folder, 'data'));
  symlinkSync(join(room.folder, 'data'), link);
  const node = new LocalNode({ id: 'l', dataRoot: link, engine: await testEngine() });
  assert.deepEqual(await node.find(), []);
  const engine = await room.start(await room.launch({ dataDir: join(link, 'one') }));
  assert.deepEqual(await node.find(), [{ dataDir: join(link, 'one'), process: engine.process }]);
});

test('engines of a test end even when the test process is killed', async () => {
  const script = `
    const { engineRoom } = await import(${JSON.stringify(join(import.meta.dirname, 'testing.ts'))});
    const room = await engineRoom({ after: () => undefined });
    const { process: ref } = await room.start(await room.launch());
    console.log(JSON.stringify({ ref, folder: room.folder }));
    setInterval(() => undefined, 1 << 30);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const line = await new Promise((resolve) => child.stdout.once('data', resolve));
  const { ref, folder }: { ref: ProcessRef; folder: string } = JSON.parse(String(line));
  assert.equal(inspectProcess(ref).state, 'running');
  child.kill('SIGKILL');
  await eventually('the engine is ended and its folder removed', () => {
    return inspectProcess(ref).state === 'gone' && !existsSync(folder);
  });
});
