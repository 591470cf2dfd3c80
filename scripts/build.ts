/**
 * Compiles `packages/` into `dist/packages/` for `npm pack`, because Node does not strip types from
 * files under node_modules. The compiler rewrites `./x.ts` in imports; what it cannot see is a module
 * named as data, `new URL('./x.ts', import.meta.url)`, by which processes and workers are started. Those
 * are rewritten here, and a name that is still left fails the build. Files that are not TypeScript
 * (pages, tables) are copied. With `--no-check` types are taken as right: `npm run check` has seen to it.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { filesUnder } from './files.ts';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const dist = path.join(root, 'dist');
/** Not for users of the package: load, faults and rivals, and whatever serves only tests. */
const LEFT_OUT = [
  /^packages\/(?:client\/)?bench\//,
  /\.test\.ts$/,
  /\.ts$/,
  /(^|\/)(README|package)[^/]*$/,
];

function build(): void {
  rmSync(dist, { recursive: true, force: true });
  const compiler = path.join(
    path.dirname(createRequire(import.meta.url).resolve('typescript/package.json')),
    'bin/tsc',
  );
  const options = process.argv.includes('--no-check') ? ['--noCheck'] : [];
  execFileSync(
    process.execPath,
    [compiler, '-p', path.join(root, 'tsconfig.build.json'), ...options],
    { stdio: 'inherit', cwd: root },
  );
  const emitted = filesUnder(dist).filter((file) => file.endsWith('.js'));
  for (const file of emitted) rewrite(file);
  for (const file of filesUnder(dist).filter((name) => name.endsWith('.d.ts'))) declaration(file);
  for (const file of filesUnder(path.join(root, 'packages'))) {
    const name = path.relative(root, file);
    if (LEFT_OUT.some((pattern) => pattern.test(name))) continue;
    mkdirSync(path.dirname(path.join(dist, name)), { recursive: true });
    cpSync(file, path.join(dist, name));
  }
  writeFileSync(path.join(dist, 'package.json'), '{ "type": "module" }\n');
  process.stdout.write(`dist: ${emitted.length} modules\n`);
}

/** Packages that users import from. */
const PUBLIC = /^packages\/(testing|client)\//;

const MODULE_URL = /(new URL\(\s*(['"`])\.{1,2}\/[^'"`]*)\.ts(\2\s*,\s*import\.meta\.url)/g;
const LEFT = /(['"`])[./\w-]+\.ts\1/;

function rewrite(file: string): void {
  const before = readFileSync(file, 'utf8');
  const after = before.replaceAll(MODULE_URL, '$1.js$3');
  if (after !== before) writeFileSync(file, after);
  const left = LEFT.exec(after.replaceAll(/^\s*(\/\/|\*|\/\*).*$/gm, ''));
  if (left !== null) {
    throw new Error(
      `${path.relative(root, file)} names ${left[0]}: write it as new URL('./x.ts', import.meta.url), ` +
        'or by the extension of import.meta.url, so that it is right in the package, too.',
    );
  }
}

/** Types are shipped of what users import, and there in the spelling that compilers resolve. */
function declaration(file: string): void {
  if (!PUBLIC.test(path.relative(dist, file))) {
    rmSync(file);
    return;
  }
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, text.replaceAll(/(from ['"]\.{1,2}\/[^'"]*)\.ts(['"])/g, '$1.js$2'));
}

build();
