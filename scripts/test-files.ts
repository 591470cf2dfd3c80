/**
 * Runs test files, each as a process of its own, several at a time; prints what each says when it has ended.
 *
 * How many at a time is not one number. On two cores two files that keep a processor busy are enough: with
 * three, what one of them measures is the other two. But a third of the time of the whole goes to files that
 * wait, for deadlines, leases and time-outs that are what they test; beside them a core is idle. So there are
 * lanes for files that work and one more for files that wait. The longest begin first, so that the end is not
 * one of them alone. Which they are is written down (`long-files.ts`): a fresh checkout remembers nothing.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { LONG } from './long-files.ts';

export interface Lanes {
  /** Files that work, at a time. */
  readonly work: number;
  /** Files at a time in all. */
  readonly all: number;
}

export interface Ended {
  /** Absolute. */
  readonly file: string;
  /** Null: killed. */
  readonly code: number | null;
  readonly ms: number;
  /** As the reporter says: tests, pass, fail, cancelled ... */
  readonly counts: Readonly<Record<string, number>>;
  readonly said: string;
  /** What the reporter says of failed tests at its end. */
  readonly failures: string;
}

/** Killed if it takes longer: each of its tests has a time-out, but something may keep the process. */
const FILE_TIMEOUT_MS = 600_000;
/** After the end of a process, for what it has written. */
const OUTPUT_MS = 20;
const LONGEST_NAMED = 8;

interface File {
  readonly file: string;
  readonly seconds: number;
  readonly waits: boolean;
}

/** Which of `waiting`, the longest first, may begin beside `running`; null: none. */
export function nextFile<T extends Pick<File, 'waits'>>(
  waiting: readonly T[],
  running: readonly T[],
  lanes: Lanes,
): T | null {
  if (running.length >= lanes.all) return null;
  const working = running.filter(({ waits }) => !waits).length;
  const work = waiting.find(({ waits }) => !waits);
  // The lanes for work are not given to files that wait as long as there is work for them.
  if (work !== undefined && working < lanes.work) return work;
  const mayWait = work === undefined || running.length - working < lanes.all - lanes.work;
  return mayWait ? (waiting.find(({ waits }) => waits) ?? null) : null;
}

/** Runs all; `args` go to Node, before the file. After SIGINT or SIGTERM (`stopped`) none begins any more. */
export async function runFiles(
  root: string,
  files: readonly string[],
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  lanes: Lanes,
  onEnd: (ended: Ended) => void,
): Promise<{ readonly ended: readonly Ended[]; readonly stopped: boolean }> {
  const waiting = files.map((file) => known(root, file)).sort((a, b) => b.seconds - a.seconds);
  const running = new Map<File, ChildProcess>();
  const ended: Ended[] = [];
  let stopped = false;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fill = (): void => {
    for (;;) {
      const next = nextFile(waiting, [...running.keys()], lanes);
      if (next === null) break;
      waiting.splice(waiting.indexOf(next), 1);
      const child = spawn(process.execPath, [...args, next.file], {
        cwd: root,
        stdio: ['ignore', 'pipe', 'pipe'],
        env,
        timeout: FILE_TIMEOUT_MS,
        killSignal: 'SIGKILL',
      });
      running.set(next, child);
      endOf(child, next.file).then((end) => {
        running.delete(next);
        ended.push(end);
        onEnd(end);
        fill();
      }, reject);
    }
    if (running.size === 0) resolve();
  };
  const stop = (signal: NodeJS.Signals): void => {
    stopped = true;
    waiting.length = 0;
    for (const child of running.values()) child.kill(signal);
  };
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.on(signal, stop);
  try {
    fill();
    await promise;
  } finally {
    for (const signal of signals) process.off(signal, stop);
  }
  return { ended, stopped };
}

function known(root: string, file: string): File {
  const entry = LONG[path.relative(root, file)];
  return { file, seconds: entry?.[0] ?? 0, waits: entry?.[1] === 'waits' };
}

async function endOf(child: ChildProcess, file: string): Promise<Ended> {
  const began = performance.now();
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => chunks.push(chunk));
  }
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once('error', reject);
  // Not 'close': what a file has left running may keep its output open.
  child.once('exit', (code) => setTimeout(resolve, OUTPUT_MS, code));
  const code = await promise;
  const ms = performance.now() - began - OUTPUT_MS;
  return { file, code, ms, ...taken(Buffer.concat(chunks).toString()) };
}

const COUNTS =
  /(?:^\u2139 (?:tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+\n)+/m;

/** What the reporter wrote, without its counts. */
function taken(text: string): Pick<Ended, 'counts' | 'said' | 'failures'> {
  const [block = ''] = COUNTS.exec(text) ?? [];
  const counts = Object.fromEntries(
    [...block.matchAll(/(\w+) ([\d.]+)$/gm)].map(([, name = '', value]) => [name, Number(value)]),
  );
  const [said = '', failures = ''] = block === '' ? [text] : text.split(block);
  return { counts, said, failures: failures.trim() };
}

/** What is printed of a file when it has ended. */
export function reportOf(root: string, { file, code, ms, said }: Ended): string {
  const how = code === 0 ? '' : code === null ? ', killed' : ', failed';
  return `${path.relative(root, file)} (${(ms / 1000).toFixed(1)} s${how})\n${said}`;
}

/** Counts of all, the longest ones, and once more what failed, where it is seen. */
export function summary(root: string, ended: readonly Ended[], ms: number): string {
  const sum = (name: string): number =>
    ended.reduce((total, { counts }) => total + (counts[name] ?? 0), 0);
  const longest = [...ended].sort((a, b) => b.ms - a.ms).slice(0, LONGEST_NAMED);
  const failed = ended.filter(({ code }) => code !== 0);
  return [
    '',
    `longest: ${longest.map((each) => `${path.relative(root, each.file)} ${(each.ms / 1000).toFixed(1)} s`).join(', ')}`,
    ...failed.map((each) => `\nfailed: ${path.relative(root, each.file)}\n${each.failures}`),
    `files ${ended.length}, tests ${sum('tests')}, passed ${sum('pass')}, failed ${sum('fail')}, cancelled ${sum('cancelled')}, in ${Math.round(ms / 1000)} s`,
    '',
  ].join('\n');
}
