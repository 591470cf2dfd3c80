/** Load by `valkey-benchmark`, so that nobody has to trust our own generator for these figures. */
import { run } from '../processes.ts';
import { commandOf, type Program } from '../rivals/programs.ts';
import { ACCESS_KEY } from './key.ts';

export interface Shot {
  readonly port: number;
  readonly tls: { readonly ca: string } | null;
  readonly pipeline: number;
  readonly verb: 'get' | 'set';
  readonly bytes: number;
  /** How many, or for how long (whole seconds). */
  readonly requests: number | { readonly warmUpSeconds: number; readonly seconds: number };
  readonly connections?: number;
}

const CONNECTIONS = 50;
const KEYS = 10_000;
const DEADLINE_MS = 60_000;

/** Requests a second, as it prints them. */
export async function shoot(program: Program, shot: Shot): Promise<number> {
  const test = ['-r', String(KEYS), '-d', String(shot.bytes), '-t', shot.verb];
  return (await measure(program, shot, test)).rate;
}

export interface Figures {
  /** Requests a second. */
  readonly rate: number;
  readonly p50Ms: number;
}

/** The same for any command, in place of one of its own tests. */
export function shootCommand(
  program: Program,
  shot: Omit<Shot, 'verb' | 'bytes'>,
  command: readonly string[],
): Promise<Figures> {
  return measure(program, shot, ['--', ...command]);
}

async function measure(
  program: Program,
  shot: Omit<Shot, 'verb' | 'bytes'>,
  what: readonly string[],
): Promise<Figures> {
  const args = [
    ...['-h', '127.0.0.1', '-p', String(shot.port), '-a', ACCESS_KEY],
    ...['-c', String(shot.connections ?? CONNECTIONS), ...extent(shot.requests)],
    ...['-P', String(shot.pipeline), '--csv', '--precision', '3'],
    ...(shot.tls === null ? [] : ['--tls', '--cacert', shot.tls.ca, '--sni', 'localhost']),
    ...what,
  ];
  const [file, all] = commandOf(program, args);
  // In a session of its own, as all that it loads (`rivals/launch.ts`).
  const out = await run(file, all, { deadlineMs: DEADLINE_MS, detached: true });
  const figures = parseFigures(out);
  if (figures === null) throw new Error(`valkey-benchmark printed no figure: ${out.slice(0, 500)}`);
  return figures;
}

function extent(requests: Shot['requests']): string[] {
  if (typeof requests === 'number') return ['-n', String(requests)];
  const { warmUpSeconds, seconds } = requests;
  return ['--warmup', String(warmUpSeconds), '--duration', String(seconds)];
}

/** One test a call: the figures stand in the last line, under the names of the first. */
export function parseFigures(csv: string): Figures | null {
  const lines = csv.split('\n').filter((line) => line.startsWith('"'));
  const names = cellsOf(lines[0]);
  const values = cellsOf(lines.at(-1));
  const rate = Number(values[names.indexOf('rps')]);
  const p50Ms = Number(values[names.indexOf('p50_latency_ms')]);
  return rate > 0 && Number.isFinite(p50Ms) ? { rate, p50Ms } : null;
}

/** A command given on the command line is its own test name, and may hold commas. */
function cellsOf(line: string | undefined): string[] {
  return [...(line ?? '').matchAll(/"([^"]*)"/g)].map((match) => match[1] ?? '');
}

/** How many requests make a shot of `seconds`: from a short one, which also warms both ends up. */
export async function calibrate(
  program: Program,
  shot: Omit<Shot, 'requests'>,
  seconds: number,
): Promise<number> {
  const first = await shoot(program, { ...shot, requests: shot.pipeline > 1 ? 50_000 : 5_000 });
  return Math.ceil(first * seconds * 1.1);
}
