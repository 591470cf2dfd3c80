import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, test } from 'node:test';
import { Asker } from '../bench/load/asker.ts';
import { startEngine } from '../bench/rivals/engine.ts';
import { workFolder } from '../bench/rivals/launch.ts';
import { rivalEngine } from '../bench/rivals/programs.ts';
import { FaultError } from './errors.ts';
import { Faults } from './faults.ts';
import { exitOf, inspectProcess, type ProcessRef, refOf, requireRef, until } from './processes.ts';
import { fakeTimeLibrary, faultTool } from './tools.ts';

const LONG_MS = 60_000;
const SHORT_MS = 300;
/** What a runtime may need for itself; the allocation under test is four times as large. */
const HEADROOM_BYTES = 512 * 1024 * 1024;
const children: ChildProcess[] = [];
after(() => {
  for (const child of children) child.kill('SIGKILL');
});

/** A process that writes the time to its output each 20 ms. */
function ticker(env: Readonly<Record<string, string>> = {}): {
  child: ChildProcess;
  ref: ProcessRef;
} {
  const child = spawn(
    process.execPath,
    ['-e', 'setInterval(() => process.stdout.write(Date.now() + "\\n"), 20)'],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } },
  );
  children.push(child);
  return { child, ref: requireRef(child.pid ?? 0) };
}

function lastLine(child: ChildProcess): { at: number; text: string } {
  const seen = { at: 0, text: '' };
  child.stdout?.on('data', (data: Buffer) => {
    seen.at = performance.now();
    seen.text = data.toString().trim().split('\n').at(-1) ?? '';
  });
  return seen;
}

async function withFaults(body: (faults: Faults) => Promise<void>): Promise<void> {
  const faults = new Faults();
  try {
    await body(faults);
  } finally {
    await faults.close();
  }
}

test('stop: nothing moves while it is on, all goes on after its duration', async () => {
  await withFaults(async (faults) => {
    const { child, ref } = ticker();
    const seen = lastLine(child);
    await until('it ticks', () => seen.at > 0);
    const fault = await faults.stop(ref, SHORT_MS);
    await until('it is stopped', () => inspectProcess(ref).state === 'stopped');
    await fault.ended;
    const ended = performance.now();
    await until('it ticks again', () => seen.at > ended);
    assert.notEqual(inspectProcess(ref).state, 'stopped');
  });
});

test('kill: gone when it resolves, and only the process that was named', async () => {
  await withFaults(async (faults) => {
    const { child, ref } = ticker();
    const exit = exitOf(child);
    await faults.kill({ pid: ref.pid, startTicks: ref.startTicks + 1 });
    assert.equal(inspectProcess(ref).state, 'running', 'another start time is another process');
    await faults.kill(ref);
    assert.equal(inspectProcess(ref).state, 'gone');
    assert.equal(await exit, 'SIGKILL');
  });
});

test('a fault is undone when the process that set it is killed', async () => {
  const { ref } = ticker();
  const faultsFile = path.join(import.meta.dirname, 'faults.ts');
  const owner = spawn(
    process.execPath,
    [
      '--input-type=module-typescript',
      '-e',
      `import { Faults } from ${JSON.stringify(faultsFile)};
       await new Faults().stop(${JSON.stringify(ref)}, ${LONG_MS});
       process.stdout.write('set');
       setInterval(() => undefined, 500);`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  children.push(owner);
  await until('it is stopped', () => inspectProcess(ref).state === 'stopped', 15_000);
  owner.kill('SIGKILL');
  await until('it goes on', () => inspectProcess(ref).state === 'running');
});

test('a fault is undone when its guardian is killed', async () => {
  await withFaults(async (faults) => {
    const { ref } = ticker();
    const fault = await faults.stop(ref, LONG_MS);
    assert.equal(inspectProcess(ref).state, 'stopped');
    const guardian = childOf(process.pid, 'guardian.ts');
    process.kill(guardian, 'SIGKILL');
    await fault.ended;
    await until('it goes on', () => inspectProcess(ref).state === 'running');
    await assert.rejects(faults.stop(ref, SHORT_MS), FaultError);
    assert.equal(inspectProcess(ref).state, 'running');
  });
});

function childOf(parent: number, part: string): number {
  const list = readFileSync(`/proc/${parent}/task/${parent}/children`, 'latin1').trim().split(' ');
  for (const pid of list.map(Number)) {
    if (readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(part)) return pid;
  }
  throw new Error(`no child of ${parent} runs ${part}`);
}

test('memory limit: the limit is there, allocations fail, and the old limit comes back', async () => {
  await withFaults(async (faults) => {
    const child = spawn(
      process.execPath,
      [
        '-e',
        `process.on('message', () => {
           let ok = true;
           try { new ArrayBuffer(2 ** 31); } catch { ok = false; }
           process.send(ok);
         });
         process.send(true);`,
      ],
      { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] },
    );
    children.push(child);
    const ask = (): Promise<unknown> =>
      new Promise((resolve) => {
        child.once('message', resolve);
        child.send('allocate');
      });
    await new Promise((resolve) => child.once('message', resolve));
    const ref = requireRef(child.pid ?? 0);
    const size = Number(readFileSync(`/proc/${ref.pid}/statm`, 'latin1').split(' ')[0]) * 4096;
    const limits = (): string => readFileSync(`/proc/${ref.pid}/limits`, 'latin1');
    assert.equal(await ask(), true);
    const fault = await faults.memoryLimit(ref, size + HEADROOM_BYTES, LONG_MS);
    assert.match(limits(), /Max address space\s+\d+\s+unlimited/);
    assert.equal(await ask(), false);
    await fault.end();
    assert.match(limits(), /Max address space\s+unlimited\s+unlimited/);
    assert.equal(await ask(), true);
    child.disconnect();
  });
});

/** Mounting needs root; an ordinary user gets the named error and its remedy instead. */
const canMount = process.getuid?.() === 0;

test('full disk: writes fail with ENOSPC while it is on; a large file system is refused', async () => {
  await withFaults(async (faults) => {
    await assert.rejects(
      faults.fullDisk('/', SHORT_MS),
      (error: FaultError) =>
        error.code === 'disk-too-large' || statfsSync('/').blocks * statfsSync('/').bsize < 2 ** 32,
    );
    if (!canMount) {
      await assert.rejects(
        faults.smallDisk(2 ** 20, SHORT_MS),
        (error: FaultError) => error.code === 'needs-mount' && /unshare/.test(error.message),
      );
      return;
    }
    const disk = await faults.smallDisk(4 * 1024 * 1024, LONG_MS);
    const file = path.join(disk.dir, 'data');
    writeFileSync(file, 'before');
    const fault = await faults.fullDisk(disk.dir, LONG_MS);
    await assert.rejects(writeFile(path.join(disk.dir, 'more'), Buffer.alloc(8192)), {
      code: 'ENOSPC',
    });
    await fault.end();
    await writeFile(path.join(disk.dir, 'more'), Buffer.alloc(8192));
    assert.equal(readFileSync(file, 'utf8'), 'before');
    await disk.end();
    assert.ok(!readFileSync('/proc/mounts', 'utf8').includes(disk.dir));
  });
});

test('slow disk: an engine’s append-only file is slow while it is on and quick afterwards', async () => {
  const folder = await workFolder();
  const strace = await faultTool('strace');
  const { server } = await rivalEngine('valkey-8');
  const engine = await startEngine(server, {
    dir: folder.dir,
    settings: { appendonly: 'yes', appendfsync: 'always' },
  });
  try {
    await withFaults(async (faults) => {
      const asker = await Asker.open({ path: engine.socket });
      const writeMs = async (): Promise<number> => {
        const start = performance.now();
        await asker.ask('SET', 'k', 'v');
        return performance.now() - start;
      };
      const before = Math.min(await writeMs(), await writeMs(), await writeMs());
      const fault = await faults.disk(engine.process, { delayMs: 150 }, LONG_MS, { strace });
      const slow = await writeMs();
      await fault.end();
      const after = Math.min(await writeMs(), await writeMs(), await writeMs());
      assert.ok(before < 75, `${before} ms before`);
      assert.ok(slow >= 150, `${slow} ms while the disk is slow`);
      assert.ok(after < 75, `${after} ms afterwards`);
      assert.match(readFileSync(`/proc/${engine.process.pid}/status`, 'latin1'), /TracerPid:\s+0/);
      asker.close();
    });
  } finally {
    await engine.stop();
    await folder.remove();
  }
});

test('a disk that is full for one process: an engine cannot save while it is on, and can again', async () => {
  const folder = await workFolder();
  const strace = await faultTool('strace');
  const { server } = await rivalEngine('valkey-8');
  const engine = await startEngine(server, { dir: folder.dir, settings: {} });
  try {
    await withFaults(async (faults) => {
      const asker = await Asker.open({ path: engine.socket });
      await asker.ask('SET', 'k', 'v');
      const fault = await faults.disk(engine.process, { error: 'ENOSPC' }, LONG_MS, { strace });
      await assert.rejects(asker.ask('SAVE'));
      assert.equal(String(await asker.ask('GET', 'k')), 'v', 'it serves');
      await fault.end();
      assert.equal(await asker.ask('SAVE'), 'OK');
      asker.close();
    });
  } finally {
    await engine.stop();
    await folder.remove();
  }
});

test('clock jump: processes started with it see the jump and its end; others see nothing', async () => {
  await withFaults(async (faults) => {
    const clock = await faults.clock(await fakeTimeLibrary());
    const { child } = ticker({ ...clock.env });
    const seen = lastLine(child);
    const offset = (): number => Number(seen.text) - Date.now();
    await until('it ticks in our time', () => seen.text !== '' && Math.abs(offset()) < 1_000);
    const fault = await faults.jump(clock.file, -7200, LONG_MS);
    await until('it is two hours behind', () => Math.abs(offset() + 7_200_000) < 2_000);
    await fault.end();
    await until('it is back', () => Math.abs(offset()) < 1_000);
    child.kill('SIGKILL');
    await rm(clock.dir, { recursive: true, force: true });
  });
});

test('two faults of one kind on one process: the second is refused, from any process; each end restores', async () => {
  const { child, ref } = ticker();
  const limit = (): string =>
    /Max address space\s+(\S+)/.exec(readFileSync(`/proc/${ref.pid}/limits`, 'latin1'))?.[1] ?? '';
  const before = limit();
  const taken = (error: FaultError): boolean => error.code === 'already-on';
  await withFaults(async (first) => {
    await withFaults(async (second) => {
      const bytes = 64 * 1024 ** 3;
      const on = await first.memoryLimit(ref, bytes, LONG_MS);
      await assert.rejects(second.memoryLimit(ref, bytes / 2, LONG_MS), taken);
      assert.equal(limit(), String(bytes));
      // Another kind on the same process, and the same kind again when the first is over.
      await (await second.stop(ref, LONG_MS)).end();
      await on.end();
      await (await second.memoryLimit(ref, bytes / 2, LONG_MS)).end();
      assert.equal(limit(), before);
      const stopped = await second.stop(ref, LONG_MS);
      await assert.rejects(first.stop(ref, SHORT_MS), taken);
      assert.equal(inspectProcess(ref).state, 'stopped');
      await stopped.end();
    });
  });
  child.kill('SIGKILL');
});

test('wrong durations and processes that are gone are refused by name', async () => {
  await withFaults(async (faults) => {
    const { child, ref } = ticker();
    for (const ms of [0, -1, Number.NaN, 1e12]) {
      await assert.rejects(faults.stop(ref, ms), (e: FaultError) => e.code === 'bad-duration');
    }
    child.kill('SIGKILL');
    await until(
      'it is gone',
      () => refOf(ref.pid) === null || inspectProcess(ref).state === 'gone',
    );
    await assert.rejects(faults.stop(ref, SHORT_MS), (e: FaultError) => e.code === 'process-gone');
  });
});
