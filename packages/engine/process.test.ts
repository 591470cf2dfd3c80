/** The fence and what it relies on, on real processes in every awkward state. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { ProcessRef } from './contract.ts';
import { EngineError } from './errors.ts';
import { copiesSmallPages } from './huge-pages.ts';
import { fence } from './process.ts';
import { allProcesses, inspectProcess, parseStat, readStat, refOf } from './procfs.ts';
import { engineRoom, eventually } from './testing.ts';

const MS = 2000;

function ref(pid: number | undefined): ProcessRef {
  const found = pid === undefined ? null : refOf(pid);
  assert.ok(found);
  return found;
}

/** A process that belongs to nobody we know: its parent is gone when this returns. */
function adopted(t: TestContext): ProcessRef {
  const pid = Number(execFileSync('sh', ['-c', 'setsid sleep 600 >/dev/null 2>&1 & echo $!']));
  t.after(() => killQuietly(pid));
  return ref(pid);
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone already, as it should be.
  }
}

test('a running process, not ours to reap, is gone when the fence resolves', async (t) => {
  const target = adopted(t);
  assert.equal(inspectProcess(target).state, 'running');
  await fence(target, MS);
  assert.equal(inspectProcess(target).state, 'gone');
  await fence(target, MS);
});

test('a stopped process is seen as stopped, and dies all the same', async (t) => {
  const target = adopted(t);
  process.kill(target.pid, 'SIGSTOP');
  await eventually('it is stopped', () => inspectProcess(target).state === 'stopped');
  await fence(target, MS);
  assert.equal(inspectProcess(target).state, 'gone');
});

test('a zombie is gone, although a signal still reaches it', async (t) => {
  // The shell becomes a sleep that never asks about its child.
  const parent = spawn('sh', ['-c', 'sleep 600 & echo $!; exec sleep 600'], { stdio: 'pipe' });
  t.after(() => parent.kill('SIGKILL'));
  const pid = Number(await new Promise((resolve) => parent.stdout.once('data', resolve)));
  const target = ref(pid);
  t.after(() => killQuietly(pid));
  await fence(target, MS);
  assert.equal(readStat(pid)?.letter, 'Z', 'nobody reaped it');
  assert.doesNotThrow(() => process.kill(pid, 0));
  assert.equal(inspectProcess(target).state, 'gone');
});

test('a pid that somebody else has now is gone to us, and the other one lives on', async (t) => {
  const other = adopted(t);
  const ours: ProcessRef = { pid: other.pid, startTicks: other.startTicks - 1 };
  assert.equal(inspectProcess(ours).state, 'gone');
  await fence(ours, MS);
  assert.equal(inspectProcess(other).state, 'running');
});

test('a fence that cannot be confirmed says so', async (t) => {
  const target = adopted(t);
  const kill = process.kill.bind(process);
  // A process in state D does not die when told; a signal that is not delivered looks the same.
  t.mock.method(process, 'kill', (pid: number, signal: string | number) => {
    return signal === 'SIGKILL' ? true : kill(pid, signal);
  });
  await assert.rejects(fence(target, 50), (error) => {
    assert.ok(error instanceof EngineError);
    assert.equal(error.code, 'fence-unconfirmed');
    assert.match(error.message, new RegExp(`process ${target.pid} .*state S`));
    return true;
  });
  t.mock.restoreAll(); // before the hook that ends the process: it needs a real kill
});

test('a snapshot child does not outlive the fence, with its engine or after it', async (t) => {
  const room = await engineRoom(t);
  for (const leaderFirst of [false, true]) {
    const engine = await room.start(await room.launch());
    // A tenth of a second a key: the snapshot takes longer than the test.
    await engine.link.configure({ 'rdb-key-save-delay': '100000' }, MS);
    const fill = "for i=1,1000 do redis.call('SET', i, i) end";
    await engine.link.command(['EVAL', fill, '0'], MS);
    await engine.link.command(['BGSAVE'], MS);
    const { pid } = engine.process;
    const child = await eventually('the child writes', () => {
      return allProcesses().find((each) => each.group === pid && each.pid !== pid) ?? null;
    });
    assert.deepEqual(
      (await room.node.find()).map((found) => found.process.pid),
      [pid],
      'the child is not taken for an engine',
    );
    if (leaderFirst) {
      process.kill(pid, 'SIGKILL');
      await eventually('the engine is gone', () => readStat(pid) === null);
      assert.equal(readStat(child.pid)?.group, pid, 'its child lives on');
    }
    await room.node.kill(engine.process, MS);
    await eventually('the child is gone too', () => {
      const stat = readStat(child.pid);
      return stat === null || stat.letter === 'Z' || stat.startTicks !== child.startTicks;
    });
    assert.equal(existsSync(join(engine.launch.dataDir, 'dump.rdb')), false);
  }
});

test('an engine outlives the process that started it, and is found again', async (t) => {
  const room = await engineRoom(t);
  const launch = await room.launch();
  const module = join(import.meta.dirname, 'testing.ts');
  const script = `
    const { LocalNode } = await import(${JSON.stringify(join(import.meta.dirname, 'index.ts'))});
    const { testEngine } = await import(${JSON.stringify(module)});
    const node = new LocalNode({ id: 'x', dataRoot: ${JSON.stringify(join(room.folder, 'data'))}, engine: await testEngine() });
    console.log(JSON.stringify(await node.start(${JSON.stringify(launch)})));
    process.exit(0);
  `;
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  const started: ProcessRef = JSON.parse(out.trim());
  room.watch(started);
  const link = await room.link(launch, started);
  assert.equal(await link.ping(MS), 'pong');
  const stat = readStat(started.pid);
  assert.equal(stat?.group, started.pid);
  assert.equal(stat.session, started.pid);
  assert.deepEqual(await room.node.find(), [{ dataDir: launch.dataDir, process: started }]);
  // The folder was set aside while the engine still ran: it is found there.
  await room.node.setAside(launch.dataDir, 'e7');
  assert.equal((await room.node.find())[0]?.dataDir, `${launch.dataDir}.e7`);
  await room.node.kill(started, MS);
  assert.deepEqual(await room.node.find(), []);
});

test('a shell that was opened in a data folder is not an engine', async (t) => {
  const room = await engineRoom(t);
  const engine = await room.start(await room.launch());
  const shell = spawn('sleep', ['600'], { cwd: engine.launch.dataDir, stdio: 'ignore' });
  t.after(() => shell.kill('SIGKILL'));
  await new Promise((resolve) => shell.once('spawn', resolve));
  assert.deepEqual(
    (await room.node.find()).map((found) => found.process),
    [engine.process],
  );
});

test('nothing secret shows in the process list, and nothing of ours is inherited', async (t) => {
  process.env['CINNABAR_TEST_SECRET'] = 'environment-secret';
  t.after(() => delete process.env['CINNABAR_TEST_SECRET']);
  const room = await engineRoom(t);
  const engine = await room.start(await room.launch());
  const { pid } = engine.process;
  const shown = execFileSync(
    'sh',
    ['-c', `cat /proc/${pid}/cmdline /proc/${pid}/environ | tr '\\0' ' '; ls -l /proc/${pid}/fd`],
    { encoding: 'utf8' },
  );
  assert.doesNotMatch(shown, /password|secret/);
  assert.match(shown, /valkey-server .*valkey\.conf/);
  const files = [...shown.matchAll(/-> (\S+)/g)].map((match) => match[1] ?? '');
  const foreign = files.filter(
    (file) => !/^(?:\/dev\/null|pipe:|socket:|anon_inode:|.*engine\.log)/.test(file),
  );
  assert.deepEqual(foreign, []);
});

test('data lies in huge pages where the kernel has them and copies small ones out of them', async (t) => {
  const table = [
    ['4.18.0-553.el8', false],
    ['5.7.19', false],
    ['5.8.0-rc1', true],
    ['5.10.0-28-amd64', true],
    ['6.1.0', true],
    ['12', true],
  ] as const;
  for (const [kernel, so] of table) assert.equal(copiesSmallPages(kernel), so, kernel);

  const room = await engineRoom(t);
  const engine = await room.start(await room.launch());
  // What is asked for; whether the kernel has one to give at this moment is not ours.
  const mode = readFileSync('/sys/kernel/mm/transparent_hugepage/enabled', 'utf8');
  const areas = readFileSync(`/proc/${engine.process.pid}/smaps`, 'utf8');
  const status = readFileSync(`/proc/${engine.process.pid}/status`, 'utf8');
  const allowed = /^THP_enabled:\s+1/m.test(status);
  const asked = /^VmFlags:.* hg\b/m.test(areas) || (allowed && mode.includes('[always]'));
  const wanted = copiesSmallPages(release());
  assert.deepEqual([allowed, asked], [wanted, wanted && !mode.includes('[never]')], mode);
});

test('a stat line is read right whatever the program calls itself', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 15 }),
      fc.nat(),
      fc.nat(),
      (name, pid, start) => {
        const fields = [
          'S',
          1,
          2,
          3,
          0,
          -1,
          0,
          0,
          0,
          0,
          0,
          7,
          8,
          0,
          0,
          20,
          0,
          1,
          0,
          start,
          1000,
          5,
        ];
        const stat = parseStat(`${pid} (${name}) ${fields.join(' ')}\n`);
        assert.deepEqual(stat, {
          pid,
          letter: 'S',
          parent: 1,
          group: 2,
          session: 3,
          cpuTicks: 15,
          startTicks: start,
        });
      },
    ),
  );
  fc.assert(
    fc.property(fc.string(), (garbage) => {
      parseStat(garbage);
    }),
  );
});
