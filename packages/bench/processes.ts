/** Processes as the benchmarks see them: by pid and start time, never by pid alone. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { inspectProcess, type ProcessRef, refOf } from '../engine/index.ts';
import { POLL_MS, STOP_DEADLINE_MS } from './limits.ts';

export { inspectProcess, type ProcessRef, refOf };

export function requireRef(pid: number): ProcessRef {
  const ref = refOf(pid);
  if (ref === null) throw new Error(`there is no process ${pid}`);
  return ref;
}

/** Sends a signal to this process and no other that has its pid by now. False: it is gone. */
export function signal(ref: ProcessRef, name: NodeJS.Signals): boolean {
  if (inspectProcess(ref).state === 'gone') return false;
  try {
    process.kill(ref.pid, name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Resolves when the condition holds; rejects with `what` at the deadline. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = STOP_DEADLINE_MS,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** SIGTERM, then SIGKILL at the deadline; resolves when it is gone. */
export async function endProcess(ref: ProcessRef, deadlineMs = STOP_DEADLINE_MS): Promise<void> {
  const gone = (): boolean => inspectProcess(ref).state === 'gone';
  if (!signal(ref, 'SIGTERM')) return;
  // A stopped process takes no SIGTERM until it goes on.
  signal(ref, 'SIGCONT');
  try {
    await until(`process ${ref.pid} ends`, gone, deadlineMs);
  } catch {
    signal(ref, 'SIGKILL');
    await until(`process ${ref.pid} is killed`, gone, deadlineMs);
  }
}

/** Runs a command to its end and answers its standard output; an error carries its standard error. */
export async function run(
  command: string,
  args: readonly string[],
  options: SpawnOptions & { readonly input?: string; readonly deadlineMs?: number } = {},
): Promise<string> {
  const { input, deadlineMs, ...rest } = options;
  const child = spawn(command, args, { ...rest, stdio: ['pipe', 'pipe', 'pipe'] });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on('data', (data: Buffer) => out.push(data));
  child.stderr?.on('data', (data: Buffer) => err.push(data));
  child.stdin?.on('error', () => undefined); // It need not read what it is given.
  child.stdin?.end(input ?? '');
  const timer =
    deadlineMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), deadlineMs);
  const code = await exitOf(child);
  clearTimeout(timer);
  if (code !== 0) {
    const text = Buffer.concat(err).toString().trim();
    throw new Error(`${command} ${args[0] ?? ''} ended with ${code}: ${text.slice(-2000)}`);
  }
  return Buffer.concat(out).toString();
}

/** Exit code, or the signal's name. Rejects when the process could not be started. */
export function exitOf(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, name) => resolve(code ?? name ?? 'unknown'));
  });
}

/** Resident bytes that belong to this process alone: shared libraries would count for each. */
export function privateBytes(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  let total = 0;
  for (const match of text.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB/gm)) {
    total += Number(match[1]) * 1024;
  }
  return total;
}
