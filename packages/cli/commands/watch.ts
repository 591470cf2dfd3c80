/** What a cache does now: `stats`, `large`, `clients`, `slowlog`. */
import { Argument, Command } from 'commander';
import type {
  ClientRow,
  CommandStats,
  LargeView,
  SlowEntry,
  StatsReport,
} from '../../control/observe/contract.ts';
import type { ApiClient } from '../api/client.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { CliError } from '../errors.ts';
import { WATCH_MS } from '../limits.ts';
import type { Column } from '../output/table.ts';
import { bytes, duration, plural, printableJson, when } from '../output/text.ts';
import { whole } from '../up/options.ts';

const MOST = 10_000;
const MOST_SECONDS = 25;

interface Flags {
  readonly last?: string;
  readonly watch?: boolean;
  readonly seconds?: string;
  readonly total?: boolean;
  readonly all?: boolean;
}

/** Once, or with `--watch` again and again until Ctrl-C; then `--json` is one document a line. */
async function show<T>(
  context: Context,
  flags: Flags,
  ask: (api: ApiClient) => Promise<T>,
  print: (report: T) => void,
  pauseMs: number,
): Promise<void> {
  const api = context.api();
  const { output } = context;
  for (;;) {
    const report = await ask(api);
    if (!output.json) {
      if (flags.watch === true && output.out.isTTY === true) output.out.write('\u001b[H\u001b[2J');
      print(report);
    } else if (flags.watch === true) output.line(printableJson(report));
    else output.data(report);
    if (flags.watch !== true) return;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

function watching(command: Command): Command {
  return command.option('-w, --watch', 'again and again, until Ctrl-C');
}

const us = (value: number): string => duration(value / 1000);
const orDash = (value: number | null): string => (value === null ? '-' : bytes(value));

const COMMANDS: readonly Column<CommandStats>[] = [
  { title: 'COMMAND', value: (c) => c.command.replace('|', ' ').toUpperCase(), shrinkTo: 10 },
  { title: 'CALLS/S', value: (c) => String(c.callsPerSecond), align: 'right' },
  { title: 'CALLS', value: (c) => String(c.calls), align: 'right' },
  { title: 'FAILED', value: (c) => String(c.failed), align: 'right' },
  { title: 'P50', value: (c) => us(c.p50Us), align: 'right' },
  { title: 'P99', value: (c) => us(c.p99Us), align: 'right' },
  { title: 'MAX', value: (c) => us(c.maxUs), align: 'right' },
  { title: 'IN', value: (c) => orDash(c.requestBytes), align: 'right' },
  { title: 'OUT', value: (c) => orDash(c.replyBytes), align: 'right' },
  { title: 'LARGEST', value: (c) => orDash(c.largestReplyBytes), align: 'right' },
];

export function statsCommand(): Command {
  return watching(
    new Command('stats')
      .summary('commands a second, how long they take, how much they carry')
      .argument('<name>')
      .option('-s, --seconds <n>', 'measure for so long', '1')
      .option('--total', 'everything since counting began, instead'),
  )
    .addHelpText(
      'after',
      `
IN and OUT are the bytes of requests and replies, LARGEST the largest reply.

Examples:
  cinnabar stats sessions
  cinnabar stats sessions --watch
  cinnabar stats sessions --total --json`,
    )
    .action(
      action((context: Context, name: string, flags: Flags) => {
        const seconds =
          flags.total === true ? null : whole('--seconds', flags.seconds ?? '1', 1, MOST_SECONDS);
        return show(
          context,
          flags,
          (api) => api.stats(name, seconds),
          (report) => printStats(context, report),
          seconds === null ? WATCH_MS : 0,
        );
      }),
    );
}

function printStats(context: Context, report: StatsReport): void {
  const { output } = context;
  const seconds = Math.max(0.001, (report.to - report.from) / 1000);
  const reasons = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .map(([reason, count]) => `${count} ${reason}`)
      .join(', ') || 'none';
  output.pairs([
    ['Since', `${when(report.from)} (${duration(report.to - report.from)})`],
    ['Connections', `${report.connections} open, ${report.opened} opened`],
    ['Closed', reasons(report.closed)],
    ['Refused', reasons(report.refused)],
    ['Bytes', `${bytes(report.bytesIn / seconds)}/s in, ${bytes(report.bytesOut / seconds)}/s out`],
  ]);
  output.line();
  output.rows(report.commands, COMMANDS, 'No command in this time.');
  const seen = report.expensive.filter(
    ({ calls, warned, refused }) => calls + warned + refused > 0,
  );
  if (seen.length > 0) {
    output.line();
    for (const { command, calls, warned, refused } of seen) {
      output.line(
        `expensive: ${command.toUpperCase()} ${plural(calls, 'call')}, ${warned} warned of, ${refused} refused`,
      );
    }
  }
  if (report.note !== null) output.note(report.note);
}

const LARGE: readonly Column<LargeView>[] = [
  { title: 'BYTES', value: (l) => bytes(l.bytes), align: 'right' },
  { title: 'KIND', value: (l) => l.kind.replace('large-', '') },
  { title: 'COMMAND', value: (l) => l.command.replace('|', ' ').toUpperCase() },
  { title: 'KEY', value: (l) => l.key, shrinkTo: 12 },
  { title: 'TIMES', value: (l) => String(l.count), align: 'right' },
  { title: 'SLOWEST', value: (l) => (l.ms === 0 ? '-' : duration(l.ms)), align: 'right' },
  { title: 'BEHIND', value: (l) => String(l.behind), align: 'right' },
  { title: 'LAST', value: (l) => when(l.at) },
  { title: 'CLIENT', value: (l) => l.client, shrinkTo: 8 },
];

export function largeCommand(): Command {
  return watching(
    new Command('large')
      .summary('the largest requests and replies, by key')
      .argument('<name>')
      .option('-n, --last <count>', 'at most this many', '20'),
  )
    .addHelpText(
      'after',
      `
Kept are requests and replies of 65.5 kB and more. BEHIND: the most commands that
waited behind one of them on its connection to the engine.

Examples:
  cinnabar large sessions
  cinnabar large sessions --json`,
    )
    .action(
      action((context: Context, name: string, flags: Flags) => {
        const most = whole('--last', flags.last ?? '20', 1, MOST);
        return show(
          context,
          flags,
          (api) => api.large(name, most),
          ({ value, note }) => {
            context.output.rows(value, LARGE, 'Nothing large was seen.');
            if (note !== null) context.output.note(note);
          },
          WATCH_MS,
        );
      }),
    );
}

const CLIENTS: readonly Column<ClientRow>[] = [
  { title: 'ID', value: (c) => c.id },
  { title: 'ADDRESS', value: (c) => c.address, shrinkTo: 12 },
  { title: 'NAME', value: (c) => c.name || '-', shrinkTo: 6 },
  { title: 'USER', value: (c) => c.user || '-' },
  { title: 'AGE', value: (c) => duration(Math.max(0, Date.now() - c.openedAt)), align: 'right' },
  { title: 'IDLE', value: (c) => duration(c.idleMs), align: 'right' },
  { title: 'STATE', value: (c) => c.state },
  { title: 'COMMANDS', value: (c) => String(c.commands), align: 'right' },
  { title: 'P99', value: (c) => (c.latency === null ? '-' : us(c.latency.p99Us)), align: 'right' },
  { title: 'IN', value: (c) => bytes(c.bytesIn), align: 'right' },
  { title: 'OUT', value: (c) => bytes(c.bytesOut), align: 'right' },
  { title: 'LAST', value: (c) => c.lastCommand || '-' },
  { title: 'LIBRARY', value: (c) => c.library || '-', shrinkTo: 6 },
];

export function clientsCommand(): Command {
  return watching(
    new Command('clients')
      .summary('who is connected; end a connection')
      .description('Lists the connections, those that were active last first; or ends one.')
      .argument('<name>')
      .addArgument(new Argument('[verb]', 'what to do; absent: list').choices(['kill']))
      .argument('[id]', 'of the connection, as in the list')
      .option('-n, --last <count>', 'at most this many', '50'),
  )
    .addHelpText(
      'after',
      `
Examples:
  cinnabar clients sessions
  cinnabar clients sessions --json
  cinnabar clients sessions kill 4711-12`,
    )
    .action(
      action(
        async (
          context: Context,
          name: string,
          verb: 'kill' | undefined,
          id: string | undefined,
          flags: Flags,
        ) => {
          if (verb === undefined) return listClients(context, name, flags);
          if (id === undefined) {
            throw new CliError(
              'usage',
              'no-client',
              'Which connection?',
              `Its id is in the list: cinnabar clients ${name}`,
            );
          }
          await context.api().killClient(name, id);
          if (context.output.json) context.output.data({ killed: id });
          else context.output.note(`Ended the connection ${id}.`);
        },
      ),
    );
}

function listClients(context: Context, name: string, flags: Flags): Promise<void> {
  const most = whole('--last', flags.last ?? '50', 1, MOST);
  return show(
    context,
    flags,
    (api) => api.clients(name, most),
    ({ value, note }) => {
      context.output.rows(value, CLIENTS, 'Nobody is connected.');
      if (note !== null) context.output.note(note);
    },
    WATCH_MS,
  );
}

const SLOW: readonly Column<SlowEntry>[] = [
  { title: 'TIME', value: (s) => when(s.at) },
  { title: 'TOOK', value: (s) => us(s.us), align: 'right' },
  { title: 'SHARD', value: (s) => `${s.shard} ${s.role}` },
  { title: 'CLIENT', value: (s) => s.name || s.client || 'endpoint', shrinkTo: 8 },
  // Last, so that a long one widens no line but its own.
  { title: 'COMMAND', value: (s) => s.command.join(' '), shrinkTo: 20 },
];

export function slowlogCommand(): Command {
  return watching(
    new Command('slowlog')
      .summary('commands that kept an engine busy, of all shards')
      .argument('<name>')
      .option('-n, --last <count>', 'at most this many', '20')
      .option('--all', 'also what Cinnabar itself asked for, and one engine of another'),
  )
    .addHelpText(
      'after',
      '\nExamples:\n  cinnabar slowlog sessions\n  cinnabar slowlog sessions --json',
    )
    .action(
      action((context: Context, name: string, flags: Flags) => {
        const most = whole('--last', flags.last ?? '20', 1, MOST);
        return show(
          context,
          flags,
          (api) => api.slowlog(name, most, flags.all === true),
          ({ value, note, own }) => {
            context.output.rows(value, SLOW, 'Nothing was slow.');
            if (own > 0)
              context.output.note(`Not shown: ${plural(own, 'line')} of Cinnabar itself (--all).`);
            if (note !== null) context.output.note(note);
          },
          WATCH_MS,
        );
      }),
    );
}
