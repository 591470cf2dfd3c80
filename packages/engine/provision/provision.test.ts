/**
 * Provisioning for real: from Debian's archive where it can be reached, from the cache where not.
 * Each case runs in a child process with its own cache folder, PATH and proxy, as a user would.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { engineRoom, testEngine } from '../testing.ts';
import { type Bundle, currentBundle, programOf } from './bundle.ts';
import { installCommand, mirrorsIn } from './host.ts';
import { type ProvisionedEngine, provisionPackages } from './index.ts';

const PACKAGES = ['valkey-server', 'valkey-tools'];
const NOBODY = 65534;
/** Of manifests, of answers that were kept, of what the libraries of a child process begin with. */
const SMALL_FILES_BYTES = 300_000;

interface Outcome {
  readonly events: readonly { step: string; detail: string }[];
  readonly engine: Pick<ProvisionedEngine, 'build' | 'server' | 'tools'> | null;
  readonly error: { code: string; message: string; remedy: string } | null;
  readonly firstMs: number;
  /** What a second call read from files, its child processes included: time would measure the machine. */
  readonly secondBytes: number;
  /** What the second call said that it did. */
  readonly secondEvents: readonly { step: string; detail: string }[];
  readonly pong: string;
}

interface Case {
  readonly cacheDir: string;
  readonly options?: Record<string, unknown>;
  readonly env?: Record<string, string>;
  /** Give up root before anything is done, if we are root. */
  readonly ordinary?: boolean;
}

async function provisionInChild(given: Case): Promise<Outcome> {
  const script = `
    const given = ${JSON.stringify(given)};
    const { provisionEngine } = await import(${JSON.stringify(join(import.meta.dirname, 'index.ts'))});
    const { execFileSync } = await import('node:child_process');
    const { readFileSync } = await import('node:fs');
    // Who gave root up may not read it.
    const bytesRead = () => given.ordinary
      ? 0 : Number(/^rchar: (\\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))[1]);
    if (given.ordinary && process.getuid() === 0) {
      process.setgroups([]); process.setgid(${NOBODY}); process.setuid(${NOBODY});
    }
    process.umask(0o022);
    process.chdir('/');
    const events = [];
    const secondEvents = [];
    const out = { events, secondEvents, engine: null, error: null, firstMs: 0, secondBytes: 0, pong: '' };
    const options = { cacheDir: given.cacheDir, onProgress: (event) => events.push(event), ...given.options };
    try {
      const started = performance.now();
      const { build, server, tools } = await provisionEngine(options);
      out.firstMs = performance.now() - started;
      const before = bytesRead();
      await provisionEngine({
        ...options, onProgress: (event) => secondEvents.push(event), refresh: false,
      });
      out.secondBytes = bytesRead() - before;
      out.engine = { build, server, tools };
      out.pong = execFileSync(server.file, [...server.argsBefore, '--version'], { encoding: 'utf8' });
    } catch (error) {
      out.error = { code: error.code, message: error.message, remedy: error.remedy };
    }
    console.log(JSON.stringify(out));
  `;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script],
    { env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', HOME: dirname(given.cacheDir), ...given.env } },
  );
  return JSON.parse(stdout);
}

function folder(t: TestContext): string {
  // As root, one case gives root up: then the folder must be in a place that anybody may enter.
  const path = mkdtempSync(
    join(process.getuid?.() === 0 ? '/tmp' : tmpdir(), 'cinnabar-provision-'),
  );
  t.after(() => rmSync(path, { recursive: true, force: true }));
  if (process.getuid?.() === 0) chownSync(path, NOBODY, NOBODY);
  chmodSync(path, 0o755);
  return path;
}

/** A proxy that lets nothing through and writes down what it was asked for. */
async function deadProxy(t: TestContext): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const server: Server = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.writeHead(403).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return { url: `http://127.0.0.1:${address.port}`, asked };
}

/** A private copy of the shared bundle, in a cache folder of its own. */
async function copiedCache(
  t: TestContext,
): Promise<{ cacheDir: string; home: string; bundle: Bundle }> {
  const shared = await provisionPackages('unstable', PACKAGES);
  const cacheDir = join(folder(t), 'engines');
  const home = join(cacheDir, 'valkey-server+valkey-tools@unstable');
  mkdirSync(home, { recursive: true });
  cpSync(dirname(shared.folder), home, { recursive: true, verbatimSymlinks: true });
  const bundle = await currentBundle(home, 'everything');
  assert.ok(bundle !== null, 'a copy of a whole bundle is whole');
  return { cacheDir, home, bundle };
}

test('two at once, as an ordinary user without a TMPDIR, into an empty cache: one fetches, both get it', async (t) => {
  const cacheDir = join(folder(t), 'engines');
  // Nobody needs the folder for temporary files: it may be full.
  const env = { TMPDIR: '/proc/no-such-folder' };
  const both = await Promise.all([
    provisionInChild({ cacheDir, ordinary: true, env }),
    provisionInChild({ cacheDir, ordinary: true, env }),
  ]);
  const failed = both.find((each) => each.error !== null);
  if (failed !== undefined) {
    // Without a way to the archive there is nothing to fetch; then the error has to say so.
    assert.equal(failed.error?.code, 'no-engine', failed.error?.message ?? '');
    assert.match(failed.error.message, /cannot read the package lists/);
    assert.notEqual(failed.error.remedy, '');
    t.diagnostic(`absent: ${failed.error.message}`);
    return;
  }
  const [one, two] = both;
  assert.deepEqual(one?.engine, two?.engine);
  const fetching = both.filter((each) =>
    each.events.some(({ detail }) => /^fetching/.test(detail)),
  );
  assert.equal(fetching.length, 1, 'fetched twice');
  const details = fetching[0]?.events.map(({ detail }) => detail) ?? [];
  assert.match(
    details.join('\n'),
    /^fetching 2 packages, \d+\.\d MB: valkey-server, valkey-tools$/m,
  );
  assert.match(details.join('\n'), /^unpacking 2 of 2: valkey-tools_/m);
  assert.ok(both.some((each) => each.events.some(({ step }) => step === 'wait')));
  for (const each of both) {
    assert.match(each.pong, /^Valkey server v=/);
    assert.equal(each.engine?.build.origin, 'debian-unstable');
    assert.match(each.engine.build.sha256, /^[0-9a-f]{64}$/);
    for (const tool of Object.values(each.engine.tools)) assert.ok(tool !== null);
    assert.deepEqual(each.secondEvents, [], 'with an engine at hand there is nothing to do');
  }
  t.diagnostic(`fetched in ${both.map((each) => Math.round(each.firstMs)).join(' and ')} ms`);
  const bundles = readdirSync(join(cacheDir, 'valkey-server+valkey-tools@unstable'));
  assert.equal(
    bundles.filter((name) => name !== 'current.json').length,
    1,
    'no staging folder is left',
  );
});

test('with an engine at hand nothing asks the network, and no more than the server is read', async (t) => {
  const { cacheDir, bundle } = await copiedCache(t);
  const proxy = await deadProxy(t);
  const outcome = await provisionInChild({ cacheDir, env: { http_proxy: proxy.url } });
  assert.equal(outcome.error, null);
  assert.ok(outcome.engine?.server.file.startsWith(bundle.folder));
  const server = join(bundle.folder, bundle.manifest.programs['valkey-server'] ?? '');
  const all = bundle.manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  // The server's bytes are hashed. To read it all, or to start it and ask, is what a start cannot pay for.
  const enough = statSync(server).size + SMALL_FILES_BYTES;
  assert.ok(enough < all);
  assert.ok(outcome.secondBytes < enough, `${outcome.secondBytes} bytes read, of ${all}`);
  assert.deepEqual(proxy.asked, []);
  assert.deepEqual([...outcome.events, ...outcome.secondEvents], []);
});

test('a torn or altered engine is never used; the error says what to type', async (t) => {
  const proxy = await deadProxy(t);
  const env = { http_proxy: proxy.url };
  for (const damage of ['torn library', 'altered server', 'no manifest'] as const) {
    const { cacheDir, bundle } = await copiedCache(t);
    const serverPath = join(bundle.folder, bundle.manifest.programs['valkey-server'] ?? '');
    const library = bundle.manifest.files.find((file) => /libcrypto/.test(file.path));
    assert.ok(library);
    if (damage === 'torn library') truncateSync(join(bundle.folder, library.path), 1000);
    if (damage === 'no manifest') rmSync(join(bundle.folder, 'manifest.json'));
    if (damage === 'altered server') {
      const bytes = readFileSync(serverPath);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      writeFileSync(serverPath, bytes);
    }
    const outcome = await provisionInChild({ cacheDir, env });
    assert.equal(outcome.error?.code, 'no-engine', damage);
    assert.match(outcome.error.message, /cannot read the package lists of Debian unstable/);
    assert.match(outcome.error.remedy, /^(?:sudo |brew |wsl |install )/);
  }
  assert.ok(
    proxy.asked.some((url) => /\/dists\/unstable\//.test(url)),
    'the proxy of the environment is used',
  );
});

test('a refresh that fails keeps the last good engine', async (t) => {
  const { cacheDir, home, bundle } = await copiedCache(t);
  mkdirSync(join(home, 'staging-of-a-crash'));
  const proxy = await deadProxy(t);
  const outcome = await provisionInChild({
    cacheDir,
    options: { refresh: true },
    env: { http_proxy: proxy.url },
  });
  assert.equal(outcome.error, null);
  assert.ok(outcome.engine?.server.file.startsWith(bundle.folder));
  assert.ok(outcome.events.some(({ step }) => step === 'fallback'));
  assert.ok(proxy.asked.length > 0);
});

test('an engine on PATH is taken when it is new enough, one that is named always', async (t) => {
  const { server, build } = await testEngine();
  const place = folder(t);
  const write = (name: string, text: string): string => {
    const file = join(place, name);
    writeFileSync(file, text, { mode: 0o755 });
    return file;
  };
  const real = `#!/bin/sh\nexec ${[server.file, ...server.argsBefore].map((word) => `'${word}'`).join(' ')} "$@"\n`;
  const named = write('named-engine', real);
  write('valkey-server', real);
  const proxy = await deadProxy(t);
  const env = { PATH: `${place}:/usr/bin:/bin`, http_proxy: proxy.url };
  const cacheDir = join(place, 'engines');
  const onPath = await provisionInChild({ cacheDir, env });
  assert.equal(onPath.error, null);
  assert.equal(onPath.engine?.build.origin, 'path');
  assert.equal(onPath.engine.build.version, build.version);
  const explicit = await provisionInChild({ cacheDir, env, options: { explicit: named } });
  assert.equal(explicit.engine?.build.origin, 'explicit');
  assert.deepEqual(proxy.asked, []);

  write('not-an-engine', '#!/bin/sh\necho hello\n');
  const wrong = await provisionInChild({
    cacheDir,
    env,
    options: { explicit: join(place, 'not-an-engine') },
  });
  assert.equal(wrong.error?.code, 'not-an-engine');
  const absent = await provisionInChild({
    cacheDir,
    env,
    options: { explicit: join(place, 'absent') },
  });
  assert.equal(absent.error?.code, 'engine-not-executable');

  // An old one on PATH is taken only when nothing better can be had.
  write(
    'valkey-server',
    `#!/bin/sh\n[ "$1" = --version ] && { echo 'Valkey server v=7.2.8 sha=0'; exit; }\nexec ${named} "$@"\n`,
  );
  const old = await provisionInChild({ cacheDir: join(place, 'engines-2'), env });
  assert.equal(old.engine?.build.origin, 'path');
  assert.ok(proxy.asked.length > 0, 'a better one was looked for first');
});

test('a running engine runs no code of the host but the kernel', async (t) => {
  const engine = await testEngine();
  if (!engine.build.origin.startsWith('debian')) {
    t.diagnostic(`the engine here is ${engine.build.origin}: no bundle to look at`);
    return;
  }
  const room = await engineRoom(t, { engine });
  const running = await room.start(await room.launch());
  const maps = readFileSync(`/proc/${running.process.pid}/maps`, 'utf8');
  // Mapped to be executed: glibc also maps the host's table of character sets, which is data.
  const files = new Set([...maps.matchAll(/ r.xp .* (\/\S+)$/gm)].map((match) => match[1] ?? ''));
  const bundle = dirname(engine.server.file).replace(/\/root\/.*$/, '');
  assert.ok(files.size > 5);
  for (const file of files) assert.ok(file.startsWith(bundle), `${file} is the host's`);
});

test('every program of a bundle runs, and its packages are recorded', async () => {
  const bundle = await provisionPackages('unstable', PACKAGES);
  for (const name of ['valkey-cli', 'valkey-benchmark', 'valkey-server']) {
    const program = programOf(bundle, name);
    assert.ok(program !== null);
    const { stdout } = await promisify(execFile)(program.file, [
      ...program.argsBefore,
      '--version',
    ]);
    assert.match(stdout, /\d+\.\d+\.\d+/, name);
  }
  assert.equal(programOf(bundle, 'no-such-program'), null);
  for (const each of bundle.manifest.packages) {
    assert.match(each.sha256, /^[0-9a-f]{64}$/);
    assert.match(each.version, /^\d/);
  }
  const size = bundle.manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  assert.ok(size < 40e6, 'only what is linked to, not half a system');
  assert.equal(statSync(bundle.folder).isDirectory(), true);
});

test('the command to type fits the system', () => {
  const rows: [NodeJS.Platform, string[], boolean, RegExp][] = [
    ['linux', ['debian'], true, /apt-get install .*valkey-server/],
    ['linux', ['ubuntu', 'debian'], false, /apt-get install .*debian-archive-keyring/],
    ['linux', ['fedora'], false, /dnf/],
    ['linux', ['arch'], false, /pacman/],
    ['linux', ['alpine'], false, /apk/],
    ['linux', ['other'], false, /cinnabar engine install --path/],
    ['darwin', [], false, /^brew install valkey$/],
    ['win32', [], false, /^wsl --install/],
  ];
  for (const [platform, words, keyring, expected] of rows) {
    assert.match(installCommand(platform, words, keyring), expected);
  }
});

test('mirrors of the main archive are read from both forms of source lists', () => {
  const list = `
# deb http://commented.example/debian stable main
deb http://ftp.example.org/debian/ bookworm main
deb [arch=amd64 signed-by=/x.gpg] https://mirror.example.net/debian bookworm main contrib
deb http://security.example.org/debian-security bookworm-security main
deb https://packages.example.com/apt stable main
deb-src http://src.example.org/debian bookworm main
`;
  assert.deepEqual(mirrorsIn(list), [
    'http://ftp.example.org/debian',
    'https://mirror.example.net/debian',
  ]);
  assert.deepEqual(
    mirrorsIn('Types: deb\nURIs: http://a.example/debian http://b.example/debian/\nSuites: sid\n'),
    ['http://a.example/debian', 'http://b.example/debian'],
  );
});
