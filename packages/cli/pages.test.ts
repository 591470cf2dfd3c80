/**
 * What the pages, the help texts and the changelog tell users to type is understood: each command and option
 * exists. Most of it is run as well (docs/docs.test.ts, first-minute.test.ts); this finds what nobody runs, as
 * it needs a service, root, another engine or another machine.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { type Command, CommanderError } from 'commander';
import { pathOf } from './context.ts';
import { Output } from './output/output.ts';
import { buildProgram } from './program.ts';
import { packageRoot } from './self.ts';

const silent = { write: () => true };

function every(command: Command): Command[] {
  return [command, ...command.commands.flatMap(every)];
}

/** A tree that understands and does nothing. */
function idleTree(): Command {
  const tree = buildProgram(new Output(silent, silent, {}, false));
  for (const command of every(tree)) {
    if (command.commands.length === 0) command.action(() => undefined);
    command.configureOutput({ writeErr: () => undefined });
  }
  return tree;
}

/** In running text a command may be named without what it needs. */
const INCOMPLETE: ReadonlySet<string> = new Set([
  'commander.missingArgument',
  'commander.missingMandatoryOptionValue',
  'commander.optionMissingArgument',
]);

/** Null: it is understood. */
function misunderstood(line: string, inText = false): string | null {
  const words = line.match(/"[^"]*"|'[^']*'|\S+/g) ?? [];
  try {
    idleTree().parse(
      words.map((word) => word.replace(/^(["'])(.*)\1$/, '$2')),
      { from: 'user' },
    );
    return null;
  } catch (error) {
    // A branch alone shows its help.
    if (error instanceof CommanderError && error.code === 'commander.help') return null;
    if (inText && error instanceof CommanderError && INCOMPLETE.has(error.code)) return null;
    return error instanceof Error ? error.message : String(error);
  }
}

/** The words behind `cinnabar`, up to the end of the line, a comment, a pipe or the next command. */
function typedIn(code: string): string[] {
  return code.split('\n').flatMap((line) => {
    const typed = line.replace(/(^|\s)#.*$/, '');
    const found = [...typed.matchAll(/(?:^|[\s;&|(`$])(?:npx )?cinnabar ((?:--)?[a-z][^;&|)`]*)/g)];
    return found.map(([, words = '']) => words.replace(/\s+2?>.*$/, '').trim());
  });
}

const FENCE = /^```(?:sh|dockerfile|yaml)[^\n]*\n([\s\S]*?)^```/gm;
const SPAN = /`(?:npx )?(cinnabar [^`\n]+)`/g;

interface Page {
  readonly name: string;
  readonly inBlocks: readonly string[];
  readonly inText: readonly string[];
}

function pages(): Page[] {
  const root = packageRoot();
  const docs = readdirSync(path.join(root, 'docs')).filter((name) => name.endsWith('.md'));
  const names = ['README.md', 'CHANGELOG.md', 'SECURITY.md', 'CONTRIBUTING.md'];
  return [...names, ...docs.map((name) => `docs/${name}`)].map((name) => {
    const text = readFileSync(path.join(root, name), 'utf8');
    const code = [...text.matchAll(FENCE)].map(([, body = '']) => body);
    const spans = [...text.replace(FENCE, '').matchAll(SPAN)].map(([, span = '']) => span);
    return { name, inBlocks: code.flatMap(typedIn), inText: spans.flatMap(typedIn) };
  });
}

/** `<name>` and the like stand for something. What ends in '...' is no whole command. */
function asTyped(command: string): string | null {
  if (command.includes('...')) return null;
  return command.replace(/<[^<>]+>/g, 'x').replace(/\[[^\]]*\]/g, '');
}

test('every command on the pages is one, with options that it has', () => {
  const wrong: string[] = [];
  let count = 0;
  for (const { name, inBlocks, inText } of pages()) {
    for (const command of [...inBlocks, ...inText]) {
      const typed = asTyped(command);
      if (typed === null) continue;
      count += 1;
      const why = misunderstood(typed, !inBlocks.includes(command));
      if (why !== null) wrong.push(`${name}: cinnabar ${command}: ${why}`);
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(count > 150, `${count} commands`);
});

test('every example in the help is understood', () => {
  const wrong: string[] = [];
  let count = 0;
  for (const command of every(idleTree())) {
    const help: string[] = [];
    command.configureOutput({ writeOut: (text) => help.push(text) }).outputHelp();
    const [, examples = ''] = help.join('').split('Examples:');
    for (const line of typedIn(examples)) {
      count += 1;
      // A second column explains.
      const typed = asTyped(line.split(/\s{2,}/)[0] ?? '');
      const why = typed === null ? null : misunderstood(typed);
      if (why !== null) wrong.push(`${pathOf(command)}: cinnabar ${typed}: ${why}`);
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(count > 60, `${count} examples`);
});
