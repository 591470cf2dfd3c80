import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { exitOf, inspectProcess, type ProcessRef, until } from '../processes.ts';

const GONE_MS = 30_000;

test('a service whose owner is killed is gone, with its processes and folders', async () => {
  const module = path.join(import.meta.dirname, 'our-service.ts');
  const program = `
    import { OurService } from ${JSON.stringify(module)};
    import { requireRef } from ${JSON.stringify(path.join(import.meta.dirname, '../processes.ts'))};
    const service = await OurService.make();
    await service.start();
    const processes = [service.control, ...service.processes().map(({ pid }) => requireRef(pid))];
    console.log(JSON.stringify({ processes, folders: [service.home, service.runDir] }));
    setInterval(() => {}, 500);`;
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program];
  const owner = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = exitOf(owner);
  const lines = createInterface({ input: owner.stdout })[Symbol.asyncIterator]();
  const { value } = await lines.next();
  const made = JSON.parse(String(value)) as { processes: ProcessRef[]; folders: string[] };
  assert.ok(made.processes.length >= 2, 'control and its endpoint');
  owner.kill('SIGKILL');
  await ended;
  await until(
    'all of it is gone',
    () =>
      made.processes.every((ref) => inspectProcess(ref).state === 'gone') &&
      made.folders.every((folder) => !existsSync(folder)),
    GONE_MS,
  );
});
