/** The `bin/cinnabar` shim, run by the machine's own Node where there is an older one. */
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { packageRoot, version } from './self.ts';

const shim = path.join(packageRoot(), 'bin/cinnabar');
const locked = path.dirname(createRequire(import.meta.url).resolve('node/package.json'));
const scratch = mkdtempSync(path.join(tmpdir(), 'shim-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** Another Node of this machine, or the locked one under another name: either way not "the" locked one. */
function foreignNode(): string {
  for (const file of ['/usr/bin/node', '/usr/local/bin/node', '/usr/bin/nodejs']) {
    if (existsSync(file)) return file;
  }
  const copy = path.join(scratch, 'node');
  if (!existsSync(copy)) copyFileSync(path.join(locked, 'bin/node'), copy);
  return copy;
}

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function run(node: string, file: string, args: readonly string[]): Promise<Ran> {
  const { promise, resolve } = Promise.withResolvers<Ran>();
  execFile(node, [file, ...args], (error, out, err) => {
    resolve({ code: error === null ? 0 : Number(error.code), out, err });
  });
  return promise;
}

/** An installation with a program that tells what it sees. */
function installation(name: string, program: string): string {
  const root = path.join(scratch, name);
  mkdirSync(path.join(root, 'bin'), { recursive: true });
  mkdirSync(path.join(root, 'dist/packages/cli'), { recursive: true });
  for (const file of ['cinnabar', 'package.json']) {
    copyFileSync(path.join(packageRoot(), 'bin', file), path.join(root, 'bin', file));
  }
  writeFileSync(path.join(root, 'dist/packages/cli/main.js'), program);
  writeFileSync(path.join(root, 'dist/package.json'), '{"type":"module"}');
  writeFileSync(path.join(root, 'package.json'), '{"name":"cinnabar","type":"module"}');
  return root;
}

test('it only uses what Node 14 knows', () => {
  const text = readFileSync(shim, 'utf8');
  assert.doesNotMatch(text, /\?\?=|\|\|=|&&=|\.at\(|structuredClone|node:/);
});

test('runs the real program under the locked Node, whatever Node it is started with', async () => {
  for (const node of [foreignNode(), path.join(locked, 'bin/node')]) {
    const { code, out, err } = await run(node, shim, ['--version']);
    assert.equal(code, 0, err);
    const release = JSON.parse(readFileSync(path.join(locked, 'package.json'), 'utf8')).version;
    assert.match(out, new RegExp(`^cinnabar ${version()} .*\\nnode ${release}`));
  }
});

test('exit codes pass through', async () => {
  const { code, err } = await run(foreignNode(), shim, ['no-such-command']);
  assert.equal(code, 2);
  assert.match(err, /unknown command 'no-such-command'/);
});

test('signals pass through, and so does death by a signal', async () => {
  const root = installation(
    'signals',
    `process.on('SIGINT', () => process.stdout.write('INT\\n'));
     process.on('SIGTERM', () => { process.removeAllListeners('SIGTERM'); process.kill(process.pid, 'SIGTERM'); });
     setInterval(() => {}, 100); process.stdout.write('up ' + process.version + '\\n');`,
  );
  mkdirSync(path.join(root, 'node_modules'));
  symlinkSync(locked, path.join(root, 'node_modules/node'));
  const child = spawn(foreignNode(), [path.join(root, 'bin/cinnabar')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout.on('data', (chunk) => {
    out += String(chunk);
    if (String(chunk).startsWith('up')) child.kill('SIGINT');
    if (String(chunk).includes('INT')) child.kill('SIGTERM');
  });
  const [code, signal] = await once(child, 'close');
  assert.equal(code, null);
  assert.equal(signal, 'SIGTERM');
  assert.match(out, /^up v\d+.*\nINT\n$/);
});

test('found when hoisted beside it, as npm does for a dependency', async () => {
  const root = installation(
    'hoist/node_modules/cinnabar',
    `console.log('ran ' + process.versions.node)`,
  );
  symlinkSync(locked, path.join(root, '../node'));
  const { out } = await run(foreignNode(), path.join(root, 'bin/cinnabar'), []);
  assert.match(out, /^ran \d+/);
});

test('says what is missing and what to type', async () => {
  const none = installation('none', '');
  const absent = await run(foreignNode(), path.join(none, 'bin/cinnabar'), []);
  assert.equal(absent.code, 69);
  assert.match(absent.err, /npm package "node"\) is not installed\.\n {2}Type: npm install -g/);

  const empty = installation('empty', '');
  mkdirSync(path.join(empty, 'node_modules/node'), { recursive: true });
  writeFileSync(path.join(empty, 'node_modules/node/package.json'), '{"name":"node"}');
  const noBinary = await run(foreignNode(), path.join(empty, 'bin/cinnabar'), []);
  assert.equal(noBinary.code, 69);
  assert.match(noBinary.err, /its binary is not.*\n {2}Type: cd \S+empty && npm rebuild node/);
});

test('is executable and starts with a shebang', () => {
  assert.match(readFileSync(shim, 'utf8'), /^#!\/usr\/bin\/env node\n/);
  execFileSync('test', ['-x', shim]);
});
