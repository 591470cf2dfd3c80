/** The package as its users get it: packed, installed in an empty folder, run and type-checked there. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startServer, type TestServer } from './testing/server.ts';

const run = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));
const modules = join(here, '../../node_modules');

let folder: string;
let server: TestServer;
before(async () => {
  server = await startServer();
  folder = await mkdtemp(join(tmpdir(), 'cinnabar-pack-'));
  // Built from a copy, so that two runs at a time do not share an output folder.
  const source = join(folder, 'source/packages/client');
  await mkdir(source, { recursive: true });
  await cp(here, source, { recursive: true, filter: (from) => !from.endsWith('/dist') });
  await cp(join(here, '../../tsconfig.json'), join(folder, 'source/tsconfig.json'));
  await symlink(modules, join(folder, 'source/node_modules'));
  await run(process.execPath, [join(modules, 'typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
    cwd: source,
  });
  const { stdout } = await run(
    'npm',
    ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder],
    { cwd: source },
  );
  const app = join(folder, 'app');
  const installed = join(app, 'node_modules/@cinnabar/client');
  await mkdir(installed, { recursive: true });
  await run('tar', [
    '-xzf',
    join(folder, stdout.trim().split('\n').at(-1) ?? ''),
    '-C',
    installed,
    '--strip-components=1',
  ]);
  for (const name of await readdir(modules)) {
    if (name.startsWith('.') || name === '@cinnabar') continue;
    await symlink(join(modules, name), join(app, 'node_modules', name));
  }
  await writeFile(join(app, 'package.json'), '{"type":"module"}');
  await writeFile(
    join(app, 'app.js'),
    `import { Redis } from 'ioredis';
     import { createClient } from 'redis';
     import { chunked, lanes, KitError } from '@cinnabar/client';
     const io = lanes(() => new Redis(${server.port}));
     await io.set('k', 'v');
     const node = lanes(() => createClient({ url: 'redis://127.0.0.1:${server.port}' }));
     await node.connect();
     await chunked(node, { chunkBytes: 1000 }).set('big', Buffer.alloc(5000, 'x'));
     const big = await chunked(io).get('big');
     console.log(process.version, await node.get('k'), big.length, io instanceof Redis, new KitError('ERR_CLIENT_CLOSED', 'x').code);
     await io.quit();
     await node.close();`,
  );
});
after(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** This Node, and any other that is installed on the machine and new enough. */
async function runtimes(): Promise<string[]> {
  const found = [process.execPath];
  for (const file of ['/usr/bin/node', '/usr/local/bin/node']) {
    const version = await run(file, ['--version']).then(
      ({ stdout }) => Number(/v(\d+)/.exec(stdout)?.[1]),
      () => 0,
    );
    if (version >= 20) found.push(file);
  }
  return found;
}

test('runs as installed, on every Node from 20 on that is here', async (t) => {
  for (const node of await runtimes()) {
    const { stdout } = await run(node, ['app.js'], { cwd: join(folder, 'app') });
    assert.match(stdout, /^v\d+\.\d+\.\d+ v 5000 true ERR_CLIENT_CLOSED\n$/);
    t.diagnostic(stdout.trim());
  }
});

test('the wrapped client has the very type of the client, as users compile it', async () => {
  const app = join(folder, 'app');
  await writeFile(
    join(app, 'types.ts'),
    `import { Redis, Cluster } from 'ioredis';
     import { createClient } from 'redis';
     import { calling, chunked, lanes, guarded, type Guarded } from '@cinnabar/client';
     const redis: Redis = lanes(() => new Redis());
     const cluster: Cluster = lanes(() => new Cluster([]), { large: ['doc:*'] });
     const node = lanes(() => createClient({ RESP: 3 }));
     const reply: Promise<string | null> = redis.get('k');
     const same: ReturnType<typeof node.hGetAll> = node.hGetAll('h');
     const view: Redis = calling(redis, { deadlineMs: 5, signal: AbortSignal.timeout(1) });
     const value: Promise<Buffer | null> = chunked(cluster).get('k');
     const safe: Guarded<Redis> = guarded(redis);
     // @ts-expect-error what is expensive cannot be called
     safe.keys('*');
     // @ts-expect-error no such option
     lanes(() => new Redis(), { smal: { max: 1 } });
     // @ts-expect-error no such command
     redis.gett('k');
     export { reply, same, view, value };`,
  );
  assert.deepEqual(await compiled(['types.ts']), []);
});

/** What a reader has before a piece of the README, unless it says it itself. */
const GIVEN: Readonly<Record<string, string>> = {
  Redis: "import { Redis } from 'ioredis';",
  createClient: "import { createClient } from 'redis';",
  createReadStream: "import { createReadStream } from 'node:fs';",
  redis: "declare const redis: import('ioredis').Redis;",
  credential:
    'declare const credential: { getToken(scope: string): Promise<{ token: string; expiresOnTimestamp: number }> };',
  pdf: 'declare const pdf: Buffer;',
  port: 'declare const port: number;',
  ...Object.fromEntries(
    ['url', 'ca', 'host', 'username', 'password', 'token', 'objectId', 'primary', 'secondary'].map(
      (name) => [name, `declare const ${name}: string;`],
    ),
  ),
  ...Object.fromEntries(
    ['lanes', 'chunked', 'batch', 'TokenKeeper', 'overlappingKeys', 'recommended', 'diagnose']
      .concat(['recordMetrics', 'report'])
      .map((name) => [name, `import { ${name} } from '@cinnabar/client';`]),
  ),
};

test('the examples of the README compile, as users compile them', async () => {
  const readme = await readFile(join(here, 'README.md'), 'utf8');
  const pieces = [...readme.matchAll(/```(?:js|ts)\n(.*?)```/gs)].map(([, code = '']) => code);
  assert.ok(pieces.length > 6);
  const app = join(folder, 'app');
  await writeFile(
    join(app, 'opentelemetry.d.ts'),
    `declare module '@opentelemetry/api' {
       export const metrics: { getMeter(name: string): import('@cinnabar/client').MeterLike };
     }`,
  );
  const files = ['opentelemetry.d.ts'];
  for (const [i, code] of pieces.entries()) {
    const given = Object.entries(GIVEN).filter(
      ([name]) =>
        new RegExp(`\\b${name}\\b`).test(code) &&
        !new RegExp(`^(?:import|const)\\b[^=(]*\\b${name}\\b[^=]*(?:=|from)`, 'm').test(code),
    );
    const file = `readme-${i}.ts`;
    files.push(file);
    await writeFile(join(app, file), [...given.map(([, line]) => line), code].join('\n'));
  }
  assert.deepEqual(await compiled(files), []);
});

/** What a strict compiler has to say of these files and of the package's own. */
async function compiled(files: readonly string[]): Promise<string[]> {
  const app = join(folder, 'app');
  await writeFile(
    join(app, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        noEmit: true,
        module: 'nodenext',
        target: 'es2022',
        types: ['node'],
        skipLibCheck: false,
      },
      files,
    }),
  );
  const { stdout } = await run(process.execPath, [join(modules, 'typescript/bin/tsc'), '-p', '.'], {
    cwd: app,
  }).catch((error: { stdout: string }) => ({ stdout: error.stdout }));
  return stdout
    .split('\n')
    .filter((line) =>
      /^(types|readme-\d+)\.ts|^(node_modules\/@cinnabar|.*packages\/client)/.test(line),
    );
}

test('what is packed: no dependency, no test, nothing of the rest of the repository', async () => {
  const installed = join(folder, 'app/node_modules/@cinnabar/client');
  const manifest = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8')) as Record<
    string,
    unknown
  >;
  assert.equal(manifest['dependencies'], undefined);
  const files = (await readdir(installed, { recursive: true })).filter((file) =>
    /\.(js|ts)$/.test(file),
  );
  assert.ok(files.length > 60);
  for (const file of files) {
    assert.doesNotMatch(file, /test|bench/);
    const text = await readFile(join(installed, file), 'utf8');
    for (const [, name = ''] of text.matchAll(/(?:from|import\()\s*'([^']+)'/g)) {
      assert.match(name, /^(?:\.|node:)/, `${file} imports ${name}`);
    }
  }
});
