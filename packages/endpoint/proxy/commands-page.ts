/** docs/commands.md, from the command table. `WRITE_PAGE=1` makes the test of the table write it. */
import type { Command, CommandTable } from '../../resp/table/index.ts';
import { DIFFERENCES, IN_MULTI, WITH_SOME_ARGUMENTS } from './examples.ts';

const HEAD = `# Commands

What becomes of each command at an endpoint (single address). Generated from the engine's own command
table and the endpoint's overrides; a test compares this page with the table of the engine it runs.

- **by key**: to the shard of its keys. Keys of several slots: \`CROSSSLOT\`, as in any cluster; use hash tags.
- **divided**: keys of any slot; sent by slot, answers joined. Atomic within a slot only. If a shard fails, the error names the shards that did it and those that did not.
- **all shards**: sent to every primary, answers merged as named. If one fails, the error names it.
- **one shard**: the answer does not depend on which.
- **script**: to the shard of the keys it names; without keys to the first. Scripts are loaded again where they are missing.
- **may wait**: on a connection of its own; nobody waits behind it.
- **here**: answered by the endpoint.
- **refused**: as a command that does not exist.

In a MULTI, commands are queued by the endpoint and sent in one piece; all keys must be of one slot. What
is answered here, or concerns all shards, may be part of it, too. Of several shards the one with the
keys executes its part of \`FLUSHALL\`, \`DBSIZE\`, \`KEYS\` and the like in the same step, at their place among
the others; the other shards follow before EXEC is answered. Commands that are answered here are executed
behind the engine's, in their order, and only if the engine has executed the transaction: \`SCAN\` or
\`PUBSUB NUMSUB\` see what all of it did. What an engine refuses while it queues, because it has no memory
left or the user has no right to it, is said by EXEC, as by an engine that comes to it in between
(\`EXECABORT Transaction discarded because of: OOM ...\`); nothing of the transaction is executed.

Messages come over connections of their own. What a client publishes to itself with \`PUBLISH\` or
\`SPUBLISH\` follows the answer, as in the engine; what its script publishes to it, or the engine says of its
own write (keyspace notifications), may come behind the answer to the next command. What \`PUBLISH\` answers
to a script counts connections of the endpoint and no clients.

A command has at most 1,048,576 arguments (an engine takes as many as its query buffer holds): the endpoint
keeps the place of each while it divides and routes the command, and that memory is bounded. More are
\`Protocol error: invalid multibulk length\`.

| command | what becomes of it | why | unlike a bare engine |
|---|---|---|---|
`;

export function commandsPage(table: CommandTable): string {
  const leaves = table.commands.filter((command) => command.subcommands === null);
  const rows = leaves
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(
      (command) =>
        `| ${command.name.toUpperCase().replace('|', ' ')} | ${fate(command)} | ${command.why} | ${differences(command)} |\n`,
    );
  return HEAD + rows.join('');
}

function differences(command: Command): string {
  const { name } = command;
  const known = [DIFFERENCES[name], WITH_SOME_ARGUMENTS[name], IN_MULTI[name]];
  return known.filter((each) => each !== undefined).join('; ');
}

function fate({ fate }: Command): string {
  switch (fate.kind) {
    case 'keyed':
      return 'by key';
    case 'split':
      return 'divided';
    case 'all':
      return `all shards (${fate.merge})`;
    case 'one':
      return 'one shard';
    case 'script':
      return 'script';
    case 'block':
      return fate.when === 'always' ? 'may wait' : 'by key; may wait with BLOCK';
    case 'local':
      return 'here';
    case 'refused':
      return 'refused';
  }
}
