/** `cinnabar logs`: the control process's log, or the engines' logs of one cache. */
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { CliError } from '../errors.ts';
import { FOLLOW_MS } from '../limits.ts';
import { printable, when } from '../output/text.ts';
import { logFile } from '../up/log.ts';
import { whole } from '../up/options.ts';

const MOST_LINES = 100_000;
const READ_BYTES = 4 * 1024 * 1024;

export function logsCommand(): Command {
  return new Command('logs')
    .summary('the log of Cinnabar, or of the engines of one cache')
    .argument('[name]', 'a cache: the logs of its engines')
    .option('-n, --last <lines>', 'this many lines of each log', '50')
    .option('-f, --follow', 'and everything new, until Ctrl-C')
    .addHelpText(
      'after',
      '\nExamples:\n  cinnabar logs --follow\n  cinnabar logs quickstart -n 200',
    )
    .action(
      action(async (context: Context, name: string | undefined, flags: LogFlags) => {
        const logs = name === undefined ? [ownLog(context)] : await engineLogs(context, name);
        const lines = whole('--last', flags.last, 1, MOST_LINES);
        const shown = new Shown(context, logs.length > 1);
        const at = logs.map((log) => tail(shown, log, lines));
        if (flags.follow !== true) return;
        for (;;) {
          await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS));
          for (const [i, log] of logs.entries()) at[i] = more(shown, log, at[i] ?? 0);
        }
      }),
    );
}

interface LogFlags {
  readonly last: string;
  readonly follow?: boolean;
}

interface Log {
  readonly file: string;
  /** Whose: 'shard 0, primary'. */
  readonly of: string;
}

/** Lines of several logs: whose they are stands before the first of each, as `tail` has it. */
class Shown {
  readonly #context: Context;
  readonly #several: boolean;
  #last: Log | null = null;

  constructor(context: Context, several: boolean) {
    this.#context = context;
    this.#several = several;
  }

  line(log: Log, text: string): void {
    const { output } = this.#context;
    if (output.json) return output.line(text);
    if (this.#several && this.#last !== log) {
      output.line(`${this.#last === null ? '' : '\n'}==> ${log.of}: ${log.file} <==`);
    }
    this.#last = log;
    output.line(readable(text));
  }
}

function ownLog(context: Context): Log {
  const file = logFile(context.folders.home);
  if (existsSync(file)) return { file, of: 'control process' };
  throw new CliError(
    'notFound',
    'no-log',
    `There is no log at ${file}.`,
    'Was Cinnabar ever started on this data folder? cinnabar up',
  );
}

async function engineLogs(context: Context, name: string): Promise<Log[]> {
  const shards = await context.api().shards(name);
  const logs = shards
    .flatMap(({ shard, instances }) =>
      instances.map(({ instance, role }) => ({
        file: path.join(instance.dataDir, ENGINE_LOG),
        of: `shard ${shard.index}, ${role === 'unknown' ? 'not answering' : role}`,
      })),
    )
    .filter(({ file }) => existsSync(file));
  if (logs.length > 0) return logs;
  throw new CliError(
    'notFound',
    'no-log',
    `No engine of '${name}' has a log yet.`,
    `cinnabar show ${name}`,
  );
}

const ENGINE_LOG = 'engine.log';

/** Prints the last lines; answers how far the file was read. */
function tail(shown: Shown, log: Log, lines: number): number {
  const fd = openSync(log.file, 'r');
  try {
    const { size } = fstatSync(fd);
    const from = Math.max(0, size - READ_BYTES);
    const buffer = Buffer.alloc(size - from);
    const read = readSync(fd, buffer, 0, buffer.length, from);
    const all = buffer.subarray(0, read).toString('utf8').split('\n');
    if (all.at(-1) === '') all.pop();
    for (const line of all.slice(-lines)) shown.line(log, line);
    return from + read;
  } finally {
    closeSync(fd);
  }
}

function more(shown: Shown, log: Log, from: number): number {
  const fd = openSync(log.file, 'r');
  try {
    const { size } = fstatSync(fd);
    // Smaller than before: it was rotated, so everything in it is new.
    const start = size < from ? 0 : from;
    const buffer = Buffer.alloc(Math.min(size - start, READ_BYTES));
    const read = readSync(fd, buffer, 0, buffer.length, start);
    const end = buffer.subarray(0, read).lastIndexOf('\n') + 1;
    for (const line of buffer.subarray(0, end).toString('utf8').split('\n')) {
      if (line !== '') shown.line(log, line);
    }
    return start + end;
  } finally {
    closeSync(fd);
  }
}

const LEVELS: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
};

/** Of an event's fields: what the line says already, and what says nothing. With --json all are there. */
function said(key: string, value: unknown, msg: string): boolean {
  if (value === null || key === 'severity') return true;
  if (key === 'message') return value === msg;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

/** JSON lines are made readable; anything else (a stack trace) is shown as it is. */
export function readable(line: string): string {
  if (!line.startsWith('{')) return printable(line);
  try {
    const {
      time,
      level,
      msg,
      pid: _pid,
      hostname: _host,
      ...rest
    } = JSON.parse(line) as Record<string, unknown>;
    if (typeof msg !== 'string') return printable(line);
    const at = typeof time === 'string' ? when(Date.parse(time)) : '-';
    const extra = Object.entries(rest)
      .filter(([key, value]) => !said(key, value, msg))
      .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
      .join(' ');
    return printable(
      `${at}  ${(LEVELS[Number(level)] ?? String(level)).padEnd(5)}  ${msg}  ${extra}`.trimEnd(),
    );
  } catch {
    return printable(line);
  }
}
