/** Load by `valkey-benchmark`, so that nobody has to trust our own generator for these figures. */
import { run } from '../processes.ts';
import { commandOf, type Program } from '../rivals/programs.ts';
import { ACCESS_KEY } from './our-endpoint.ts';

export interface Shot {
  readonly port: number;
  readonly tls: { readonly ca: string } | null;
  readonly pipeline: number;
  readonly verb: 'get' | 'set';
  readonly bytes: number;
  readonly requests: number;
  readonly connections?: number;
  readonly threads?: number;
}

const CONNECTIONS = 50;
const KEYS = 10_000;
const DEADLINE_MS = 60_000;

/** Requests a second, as it prints them. */
export async function shoot(program: Program, shot: Shot): Promise<number> {
  const args = [
    ...['-h', '127.0.0.1', '-p', String(shot.port)],
    ...['-c', String(shot.connections ?? CONNECTIONS), '-n', String(shot.requests)],
    ...['-P', String(shot.pipeline), '-d', String(shot.bytes), '-r', String(KEYS)],
    ...['-t', shot.verb, '--csv', '-a', ACCESS_KEY],
    ...(shot.tls === null ? [] : ['--tls', '--cacert', shot.tls.ca, '--sni', 'localhost']),
    ...(shot.threads === undefined ? [] : ['--threads', String(shot.threads)]),
  ];
  const [file, all] = commandOf(program, args);
  const out = await run(file, all, { deadlineMs: DEADLINE_MS });
  const rate = parseRate(out, shot.verb);
  if (rate === null) throw new Error(`valkey-benchmark printed no figure: ${out.slice(0, 500)}`);
  return rate;
}

/** The second column of the line that begins with the test's name. */
export function parseRate(csv: string, verb: string): number | null {
  for (const line of csv.split('\n')) {
    const [name, rate] = line.split(',').map((cell) => cell.replaceAll('"', '').trim());
    if (name?.toLowerCase() === verb && Number(rate) > 0) return Number(rate);
  }
  return null;
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
