/** No command of the running engine without a fate, and every one that clients may use really run. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { ReplyParser } from '../../resp/index.ts';
import { type Command, CommandTable, OVERRIDES, readCommandSpecs } from '../../resp/table/index.ts';
import { commandsPage } from './commands-page.ts';
import { DIFFERENCES, EXAMPLES } from './examples.ts';
import { LOCAL } from './local.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, startBare, startShards } from './testing-engines.ts';

const MS = 3000;

function nameOf(table: CommandTable, words: readonly string[]): string {
  const first = Buffer.from(words[0] ?? '');
  const root = table.find(first, 0, first.length);
  const second = Buffer.from(words[1] ?? '');
  return root?.subcommands?.find(second, 0, second.length)?.name ?? root?.name ?? '';
}

test('every command has a fate, and the same answer as a bare engine', async (t) => {
  const { shards, views } = await startShards(t, 3);
  const bare = await startBare(t);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const reply = await shards[0]?.primary.link.command(['COMMAND'], MS);
  assert.ok(Array.isArray(reply));
  const table = new CommandTable(readCommandSpecs(reply));
  const leaves = table.commands.filter((command) => command.subcommands === null);

  await t.test('nothing is unknown', () => {
    assert.ok(leaves.length > 300);
    const unknown = leaves.filter(
      (command) => command.fate.kind === 'refused' && command.fate.text === 'unknown',
    );
    assert.deepEqual(
      unknown.map((command) => command.name),
      [],
    );
    for (const [name, { fate, why }] of OVERRIDES) {
      assert.ok(why.length > 5, name);
      if (fate.kind === 'local') assert.ok(LOCAL[fate.handler] !== undefined, name);
    }
  });

  await t.test('every usable command has an example', () => {
    const shown = new Set(EXAMPLES.map((line) => nameOf(table, line.split(' '))));
    const usable = (command: Command): boolean => command.fate.kind !== 'refused';
    const missing = leaves.filter(
      (c) => usable(c) && !shown.has(c.name) && DIFFERENCES[c.name] === undefined,
    );
    assert.deepEqual(
      missing.map((command) => command.name),
      [],
    );
  });

  for (const protocol of [2, 3] as const) {
    await t.test(`the examples, RESP${protocol}`, async () => {
      const ours = await RawClient.open(running.port, protocol);
      const theirs = await RawClient.open(bare.launch.socket, protocol);
      let inside = false;
      const unlike: string[][] = [];
      for (const line of EXAMPLES) {
        const words = line.split(' ');
        if (words[0] === 'reset') break;
        ours.send(words);
        theirs.send(words);
        if (words[0] === 'multi') inside = true;
        if (words[0] === 'exec' || words[0] === 'discard') inside = false;
        if (inside) continue;
        const [a, b] = await Promise.all([ours.settled(), theirs.settled()]);
        const name = nameOf(table, words);
        if (DIFFERENCES[name] !== undefined) continue;
        if (!a.equals(b)) unlike.push([line, a.toString('latin1'), b.toString('latin1')]);
      }
      assert.deepEqual(unlike, []);
      ours.close();
      theirs.close();
    });
  }

  await t.test('refused commands are refused in the words for an unknown one', async () => {
    const a = await RawClient.open(running.port);
    for (const command of leaves) {
      if (command.fate.kind !== 'refused') continue;
      const count = Math.abs(command.arity) - command.name.split('|').length;
      const words = [...command.name.split('|'), ...Array.from({ length: count }, () => 'x')];
      const what = command.name.includes('|') ? 'subcommand' : 'command';
      assert.match(await a.ask(...words), new RegExp(`^-ERR unknown ${what} '`), command.name);
    }
    a.close();
  });

  await t.test('docs/commands.md is generated from this table', () => {
    const page = commandsPage(table);
    const file = new URL('../../../docs/commands.md', import.meta.url);
    if (process.env['WRITE_PAGE']) writeFileSync(file, page);
    // Engines differ by version: rows of commands that only one of them has are left out.
    const rows = (text: string): Map<string, string> =>
      new Map(text.split('\n').map((line) => [line.split('|')[1] ?? line, line]));
    const written = rows(readFileSync(file, 'utf8'));
    for (const [name, row] of rows(page)) {
      const there = written.get(name);
      if (there !== undefined) assert.equal(there, row, 'run this test once with WRITE_PAGE=1');
    }
  });
});

test('the table of an engine reads the same in both protocols', async (t) => {
  const { shards } = await startShards(t, 1);
  const socket = shards[0]?.primary.launch.socket ?? '';
  const read = async (protocol: 2 | 3): Promise<CommandTable> => {
    const client = await RawClient.open(socket, protocol);
    client.send(['COMMAND']);
    const bytes = await client.settled();
    client.close();
    let table: CommandTable | null = null;
    new ReplyParser({
      onReply: (reply) => {
        table = new CommandTable(readCommandSpecs(reply));
      },
    }).push(bytes);
    assert.ok(table !== null);
    return table;
  };
  const [two, three] = await Promise.all([read(2), read(3)]);
  assert.deepEqual(
    two.commands.map(({ name, firstKey, fate, write }) => [name, firstKey, fate.kind, write]),
    three.commands.map(({ name, firstKey, fate, write }) => [name, firstKey, fate.kind, write]),
  );
});
