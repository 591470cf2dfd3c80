/** Holds what STYLE.md marks as (tidy): rules that a formatter and a linter do not know. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { filesUnder } from './files.ts';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

interface Source {
  /** Relative to the root, with '/'. */
  readonly name: string;
  readonly text: string;
  readonly lines: readonly string[];
}

const sources: readonly Source[] = ['packages', 'scripts', 'examples', 'docs']
  .map((name) => path.join(root, name))
  .filter((folder) => existsSync(folder))
  .flatMap(filesUnder)
  .filter((file) => /\.(ts|mts|js|mjs)$/.test(file) && !/node_modules|\/dist\//.test(file))
  .map((file) => {
    const text = readFileSync(file, 'utf8');
    return { name: path.relative(root, file), text, lines: text.split('\n') };
  });

/** This file names what it forbids. */
const self = 'scripts/tidy.test.ts';

/** Fails with one line for each finding, so that all of them are seen at once. */
function none(findings: readonly string[]): void {
  assert.equal(findings.length, 0, `\n${findings.join('\n')}`);
}

function eachLine(find: (line: string, source: Source) => string | null): string[] {
  const found: string[] = [];
  for (const source of sources) {
    if (source.name === self) continue;
    for (const [i, line] of source.lines.entries()) {
      const problem = find(line, source);
      if (problem !== null) found.push(`${source.name}:${i + 1}: ${problem}`);
    }
  }
  return found;
}

const isTest = (name: string): boolean => name.endsWith('.test.ts');

test('sources were found', () => {
  assert.ok(sources.length > 50, `${sources.length} sources`);
});

const MOST_LINES = 400;

test(`no file is longer than ${MOST_LINES} lines, and most are under 200`, () => {
  none(
    sources
      .filter((s) => s.lines.length - 1 > MOST_LINES)
      .map((s) => `${s.name}: ${s.lines.length - 1} lines; it has two subjects`),
  );
  const long = sources.filter((s) => s.lines.length - 1 > 200).length;
  assert.ok(long * 4 < sources.length, `${long} of ${sources.length} files are over 200 lines`);
});

test('no word that stands for work not done', () => {
  none(
    eachLine((line) =>
      /\b(TODO|FIXME|XXX|HACK)\b/.test(line) ? 'do it, or write an issue' : null,
    ),
  );
});

test('no test is skipped, and none runs alone', () => {
  const pattern =
    /\b(test|it|describe|suite|t)\.(skip|only|todo)\b|\b(skip|only|todo)\s*:\s*(true|['"`])/;
  none(
    eachLine((line, source) => (isTest(source.name) && pattern.test(line) ? line.trim() : null)),
  );
});

test('no bare number above 999 in a timer call', () => {
  const found: string[] = [];
  const call = /\b(setTimeout|setInterval|sleep|delay)\(/g;
  for (const source of sources) {
    if (source.name === self) continue;
    for (const match of source.text.matchAll(call)) {
      const args = argumentsAt(source.text, match.index + match[0].length);
      const bare = args.some((arg) => /^\d[\d_]{3,}$/.test(arg.trim()));
      if (bare) found.push(`${source.name}: ${match[0]}${args.join(',')}): name it in limits.ts`);
    }
  }
  none(found);
});

/** The arguments of a call, split at its own commas. */
function argumentsAt(text: string, start: number): string[] {
  const args: string[] = [];
  let depth = 0;
  let from = start;
  for (let i = start; i < text.length; i++) {
    const c = text.charAt(i);
    if ('([{'.includes(c)) depth++;
    else if (')]}'.includes(c) && depth > 0) depth--;
    else if (c === ')' && depth === 0) return [...args, text.slice(from, i)];
    else if (c === ',' && depth === 0) {
      args.push(text.slice(from, i));
      from = i + 1;
    }
  }
  return args;
}

test('no test sleeps for luck', () => {
  // A wait is allowed inside a loop that looks at a condition: `for (;;)`, `while (...)`.
  const found: string[] = [];
  for (const source of sources.filter((s) => isTest(s.name) && s.name !== self)) {
    for (const [i, line] of source.lines.entries()) {
      const ms = /await\s+(?:sleep|delay|setTimeout)\(\s*([\d_]+)/.exec(line)?.[1];
      if (ms === undefined || Number(ms.replaceAll('_', '')) < 100) continue;
      const before = source.lines.slice(Math.max(0, i - 12), i + 1).join('\n');
      if (/\b(for|while)\s*\(|\bdo\s*\{/.test(before)) continue;
      found.push(`${source.name}:${i + 1}: ${line.trim()}: wait for a condition with a deadline`);
    }
  }
  none(found);
});

/** Which package may import which; `types` by `import type` only. */
interface Arrow {
  readonly code: readonly string[];
  readonly types: readonly string[];
}

const ARROWS: Readonly<Record<string, Arrow>> = {
  resp: { code: [], types: [] },
  rdb: { code: [], types: [] },
  client: { code: [], types: [] },
  engine: { code: ['resp'], types: [] },
  endpoint: { code: ['resp'], types: [] },
  faults: { code: ['engine'], types: [] },
  control: { code: ['resp', 'rdb', 'engine'], types: ['endpoint'] },
  // A client of the management API: what it knows of control are the types of what it reads, and the
  // names of the files that control leaves (boot-protocol.ts). The engine's own tools it runs itself.
  cli: { code: ['engine', 'faults'], types: ['control'] },
  testing: { code: ['cli'], types: ['control'] },
  bench: {
    code: ['resp', 'rdb', 'engine', 'endpoint', 'faults', 'control', 'client', 'cli', 'testing'],
    types: [],
  },
  portal: { code: [], types: [] },
};

/** Files that both sides of a contract import, code included. */
const CONTRACTS = new Set([
  'packages/control/boot-protocol.ts',
  'packages/endpoint/control-protocol.ts',
  'packages/endpoint/supervisor-protocol.ts',
]);

const IMPORT = /^\s*(import|export)\s+(type\s+)?(?:[^'"]*?\sfrom\s+)?['"]([^'"]+)['"]/gm;

test('imports between packages go down only', () => {
  const found: string[] = [];
  for (const source of sources) {
    const from = /^packages\/([^/]+)\//.exec(source.name)?.[1];
    // A test may start what it tests against.
    if (
      from === undefined ||
      isTest(source.name) ||
      /\/testing(?:[-\w]*\.ts$|\/)/.test(source.name)
    )
      continue;
    const arrow = ARROWS[from];
    if (arrow === undefined) {
      found.push(`${source.name}: the package '${from}' has no arrows here`);
      continue;
    }
    for (const match of source.text.matchAll(IMPORT)) {
      const [, , type, target = ''] = match;
      if (!target.startsWith('.')) continue;
      const file = path.posix.join(path.posix.dirname(source.name), target);
      const to = /^packages\/([^/]+)\//.exec(file)?.[1];
      if (to === from || CONTRACTS.has(file)) continue;
      if (to === undefined) found.push(`${source.name}: imports ${file}, outside of packages/`);
      else if (arrow.code.includes(to) || (type !== undefined && arrow.types.includes(to)))
        continue;
      else found.push(`${source.name}: ${from} may not import ${file}`);
    }
  }
  none(found);
});

test('relative imports name their file with .ts', () => {
  const found: string[] = [];
  for (const source of sources) {
    for (const [, , , target = ''] of source.text.matchAll(IMPORT)) {
      if (target.startsWith('.') && !/\.(ts|js|mjs|json)$/.test(target))
        found.push(`${source.name}: ${target}`);
    }
  }
  none(found);
});

test('versions in package.json are exact', () => {
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as Record<
    string,
    Record<string, string> | undefined
  >;
  const all = Object.entries({ ...manifest['dependencies'], ...manifest['devDependencies'] });
  assert.ok(all.length > 5);
  // Another version of a package under a name of its own: npm:redis@5.12.1.
  const exact = /^(npm:[\w@/-]+@)?\d+\.\d+\.\d+(-[\w.]+)?$/;
  none(all.filter(([, v]) => !exact.test(v)).map(([n, v]) => `${n}: ${v}`));
});

test('no tool or folder of a private workplace is named', () => {
  const words = new RegExp(['/work' + '/', '\\.libra' + 'ry/'].join('|'));
  none(eachLine((line) => (words.test(line) ? line.trim() : null)));
});
