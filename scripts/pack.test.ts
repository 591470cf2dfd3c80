/**
 * The package as users install it: built, packed, installed globally into an empty prefix by the
 * machine's own npm and Node, then run: a cache, a command on it, `cinnabar/testing` from another
 * project, all with no TypeScript anywhere.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { filesUnder } from './files.ts';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const scratch = mkdtempSync(path.join(tmpdir(), 'p-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const prefix = path.join(scratch, 'prefix');
const STEP_TIMEOUT_MS = 170_000;

/** The user's PATH: without this checkout's own Node. npm keeps its own settings: mirrors, proxies. */
const env: NodeJS.ProcessEnv = {
  ...withoutNpm(process.env),
  PATH: `${path.join(prefix, 'bin')}:${systemPath()}`,
  CINNABAR_HOME: path.join(scratch, 'data'),
  XDG_RUNTIME_DIR: path.join(scratch, 'r'),
  XDG_CACHE_HOME: process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'),
  TMPDIR: scratch,
  NO_COLOR: '1',
  npm_config_update_notifier: 'false',
};

/** `npm test` sets variables for its children that would make this npm think it is still in there. */
function withoutNpm(all: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const inner =
    /^(npm_(lifecycle|package|execpath|node_execpath|command|config_local_prefix)|INIT_CWD)/;
  return Object.fromEntries(Object.entries(all).filter(([name]) => !inner.test(name)));
}

/** Folders of PATH that are not below this checkout; the locked Node is added if there is no other. */
function systemPath(): string {
  const folders = (process.env['PATH'] ?? '')
    .split(path.delimiter)
    .filter((folder) => !folder.startsWith(root) && !folder.includes('node_modules/.bin'));
  const other = folders.some((folder) => existsSync(path.join(folder, 'node')));
  return [...folders, ...(other ? [] : [path.dirname(process.execPath)])].join(path.delimiter);
}

function run(file: string, args: readonly string[], cwd = scratch): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  execFile(
    file,
    args,
    { env, cwd, timeout: STEP_TIMEOUT_MS, maxBuffer: 1 << 24 },
    (error, out, err) => {
      if (error === null) resolve(out);
      else reject(new Error(`${file} ${args.join(' ')}\n${out}\n${err}`));
    },
  );
  return promise;
}

test('built, packed, installed and run', async (t) => {
  let installed = '';

  await t.test('the package holds compiled modules and nothing of the workshop', async () => {
    await run(process.execPath, [path.join(root, 'scripts/build.ts'), '--no-check'], root);
    const out = await run(
      'npm',
      ['pack', '--json', '--ignore-scripts', '--pack-destination', scratch],
      root,
    );
    const [pack] = JSON.parse(out) as {
      filename: string;
      files: { path: string; size: number }[];
    }[];
    assert.ok(pack);
    const names = pack.files.map((file) => file.path);
    for (const name of ['bin/cinnabar', 'bin/package.json', 'LICENSE', 'NOTICE', 'package.json']) {
      assert.ok(names.includes(name), name);
    }
    assert.ok(names.includes('dist/packages/control/boot/run.js'));
    const odd = names.filter(
      (name) =>
        (/\.ts$/.test(name) && !/\.d\.ts$/.test(name)) ||
        /\.test\.|\/bench\/|node_modules/.test(name),
    );
    assert.deepEqual(odd, []);
    installed = path.join(scratch, pack.filename);
  });

  await t.test('installs with an ordinary npm, into an empty prefix', async () => {
    await run('npm', ['install', '--global', '--prefix', prefix, '--prefer-offline', installed]);
    const version = await run('cinnabar', ['--version']);
    assert.match(version, /^cinnabar \d+\.\d+\.\d+ \(build release\)\nnode 26\./);
    const package_ = path.join(prefix, 'lib/node_modules/cinnabar');
    const sources = filesUnder(path.join(package_, 'dist')).filter((f) => /(?<!\.d)\.ts$/.test(f));
    assert.deepEqual(sources, []);
  });

  await t.test('up, a command on the cache, down', async () => {
    try {
      await run('cinnabar', [
        'up',
        '--detach',
        '--quickstart',
        '--api-port',
        '0',
        '--https-port',
        '0',
      ]);
      assert.equal(
        (await run('cinnabar', ['connect', 'quickstart', 'SET', 'k', 'v'])).trim(),
        'OK',
      );
      const [row] = JSON.parse(await run('cinnabar', ['list', '--json'])) as { state: string }[];
      assert.equal(row?.state, 'Running');
    } finally {
      await run('cinnabar', ['down']);
    }
  });

  await t.test("'cinnabar/testing' from another project, on its own Node", async () => {
    const project = path.join(scratch, 'project');
    mkdirSync(path.join(project, 'node_modules'), { recursive: true });
    symlinkSync(
      path.join(prefix, 'lib/node_modules/cinnabar'),
      path.join(project, 'node_modules/cinnabar'),
    );
    symlinkSync(
      path.join(root, 'node_modules/ioredis'),
      path.join(project, 'node_modules/ioredis'),
    );
    writeFileSync(
      path.join(project, 'try.mjs'),
      `import { startCache } from 'cinnabar/testing';
       import { Redis } from 'ioredis';
       const cache = await startCache();
       const redis = new Redis(cache.url, { tls: { ca: cache.ca } });
       await redis.set('greeting', 'hello');
       console.log(process.version, await redis.get('greeting'), cache.engine);
       redis.disconnect();
       await cache.stop();`,
    );
    const out = await run('node', ['try.mjs'], project);
    assert.match(out, /^v\d+\.\S+ hello (valkey|redis) \d/);
  });
});
