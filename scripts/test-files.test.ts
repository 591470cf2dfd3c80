import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LONG } from './long-files.ts';
import { nextFile, reportOf, runFiles, summary } from './test-files.ts';

const LANES = { work: 2, all: 3 };
const work = { waits: false };
const wait = { waits: true };

test('two files that work, and one that waits beside them; what is left takes all lanes', () => {
  for (const [waiting, running, next] of [
    [[wait, work], [], work],
    [[wait, work], [work], work],
    [[wait, work], [work, work], wait],
    [[work], [work, work], null],
    [[wait, work], [work, wait], work],
    [[wait, work], [work, work, wait], null],
    [[wait], [work], wait],
    [[wait], [wait, wait], wait],
    [[wait], [wait, wait, wait], null],
    [[], [work], null],
  ] as const) {
    assert.equal(nextFile(waiting, running, LANES), next);
  }
  assert.equal(nextFile([wait, work], [work], { work: 1, all: 1 }), null);
});

test('every long file that is named is there', () => {
  const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
  for (const name of Object.keys(LONG)) assert.ok(existsSync(path.join(root, name)), name);
});

test('a file that fails, that is killed, that leaves its output open: said and counted', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'files-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const write = (name: string, body: string): string => {
    const file = path.join(folder, name);
    writeFileSync(file, `import { test } from 'node:test';\n${body}`);
    return file;
  };
  const good = write('good.test.mjs', `test('good', () => {});`);
  const bad = write('bad.test.mjs', `test('bad', () => { throw new Error('why it failed'); });`);
  const dead = write('dead.test.mjs', `test('dead', () => process.kill(process.pid, 'SIGKILL'));`);
  const said: string[] = [];
  const { ended, stopped } = await runFiles(
    folder,
    [good, bad, dead],
    ['--test-reporter=spec'],
    // This process is a test itself, and says so to its children.
    { ...process.env, NODE_TEST_CONTEXT: undefined },
    LANES,
    (end) => said.push(reportOf(folder, end)),
  );
  assert.equal(stopped, false);
  const codeOf = (file: string) => ended.find((each) => each.file === file)?.code;
  assert.deepEqual([good, bad, dead].map(codeOf), [0, 1, null]);
  assert.match(said.join(''), /^good\.test\.mjs \(\d+\.\d s\)\n✔ good/m);
  assert.match(said.join(''), /^dead\.test\.mjs \(.* s, killed\)$/m);
  const end = summary(folder, ended, 1000);
  assert.match(end, /failed: bad\.test\.mjs\n[\s\S]*why it failed/);
  assert.match(end, /failed: dead\.test\.mjs/);
  assert.match(end, /files 3, tests 2, passed 1, failed 1, cancelled 0, in 1 s/);
});
