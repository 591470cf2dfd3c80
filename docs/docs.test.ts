/**
 * Runs what the pages tell users to type. Blocks marked `sh run` are run by bash, in order, `cinnabar`
 * being this checkout's; `js run` blocks are run as programs, against the cache `quickstart` or on their
 * own. A reader of several pages has one Cinnabar, which goes on from one to the next; so have they here.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const docs = path.dirname(fileURLToPath(import.meta.url));
const root = path.dirname(docs);
const pages = readdirSync(docs)
  .filter((name) => name.endsWith('.md'))
  .sort();
const BLOCK_TIMEOUT_MS = 120_000;

interface Block {
  readonly language: string;
  readonly text: string;
}

function blocks(page: string): Block[] {
  const text = readFileSync(path.join(docs, page), 'utf8');
  return [...text.matchAll(/^```(\w+) run\n([\s\S]*?)^```$/gm)].map(
    ([, language = '', body = '']) => ({
      language,
      text: body,
    }),
  );
}

function run(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  cwd: string,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  execFile(file, args, { env, cwd, timeout: BLOCK_TIMEOUT_MS }, (error, out, err) => {
    if (error === null) resolve(out);
    else reject(new Error(`${args.at(-1)}\n${out}\n${err}`));
  });
  return promise;
}

/** Starts Cinnabar in another way than the other pages do. */
const BY_ITSELF = new Set(['scaling.md']);

test('pages of one reader', (t) =>
  read(
    t,
    pages.filter((page) => !BY_ITSELF.has(page)),
  ));
for (const page of BY_ITSELF) test(`${page} by itself`, (t) => read(t, [page]));

async function read(t: TestContext, those: readonly string[]): Promise<void> {
  const scratch = mkdtempSync(path.join(tmpdir(), 'd-'));
  const bin = path.join(scratch, 'bin');
  mkdirSync(bin);
  symlinkSync(path.join(root, 'bin/cinnabar'), path.join(bin, 'cinnabar'));
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    PATH: `${bin}:${path.dirname(process.execPath)}:${process.env['PATH']}`,
    CINNABAR_HOME: path.join(scratch, 'home'),
    XDG_RUNTIME_DIR: path.join(scratch, 'r'),
    XDG_CACHE_HOME: process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'),
    NO_COLOR: '1',
  };
  try {
    for (const page of those) {
      const all = blocks(page);
      if (all.length === 0) continue;
      await t.test(`${page}: ${all.length} blocks run`, async () => {
        for (const block of all) {
          if (block.language === 'sh')
            await run('bash', ['-euo', 'pipefail', '-c', block.text], env, scratch);
          else await program(block.text, env, scratch);
        }
      });
    }
  } finally {
    await run('bash', ['-c', 'cinnabar down || cinnabar down --now'], env, scratch);
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** As a file below the root, where it finds the packages; with what the page calls REDIS_URL and CA_FILE. */
async function program(text: string, env: NodeJS.ProcessEnv, scratch: string): Promise<void> {
  const more: NodeJS.ProcessEnv = {};
  if (text.includes('REDIS_URL')) {
    const keys = JSON.parse(
      await run('cinnabar', ['keys', 'list', 'quickstart', '--json'], env, scratch),
    );
    const status = JSON.parse(await run('cinnabar', ['status', '--json'], env, scratch));
    more['REDIS_URL'] = keys.connectionString;
    more['CA_FILE'] = status.caFile;
  }
  // The package's own name resolves to its source in a checkout.
  const testing = path.join(root, 'packages/testing/index.ts');
  const source = text.replaceAll(`'cinnabar/testing'`, `'${testing}'`);
  const folder = mkdtempSync(path.join(root, 'node_modules/.docs-'));
  const file = path.join(folder, 'example.mjs');
  try {
    writeFileSync(file, source);
    const out = await run(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', file],
      { ...env, ...more },
      scratch,
    );
    assert.match(out, /hello|OK/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test('links between the pages lead somewhere', () => {
  const broken: string[] = [];
  for (const page of [...pages, '../SECURITY.md', '../CONTRIBUTING.md']) {
    const text = readFileSync(path.join(docs, page), 'utf8');
    for (const [, target = ''] of text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      if (!existsSync(path.resolve(docs, path.dirname(page), target)))
        broken.push(`${page}: ${target}`);
    }
  }
  assert.deepEqual(broken, []);
});
