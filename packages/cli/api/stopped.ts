/**
 * A control process that was stopped (SIGSTOP, Ctrl-Z, a debugger) takes connections and answers
 * nothing. Whoever waits for it is told in seconds, not when the request times out.
 */
import { readFileSync } from 'node:fs';
import { CliError } from '../errors.ts';
import { STOPPED_LOOK_MS, STOPPED_LOOKS } from '../limits.ts';

export const CONTROL_STOPPED = 'control-stopped';

/** False when it is gone, or cannot be seen. */
export function isStopped(pid: number): boolean {
  try {
    return /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
  } catch {
    return false;
  }
}

/** What `ask` answers, unless the process that should answer stands still. */
export async function unlessStopped<T>(
  pid: number,
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const stopped = Promise.withResolvers<never>();
  let looks = 0;
  const timer = setInterval(() => {
    looks = isStopped(pid) ? looks + 1 : 0;
    if (looks < STOPPED_LOOKS) return;
    stopped.reject(standsStill(pid));
    over.abort();
  }, STOPPED_LOOK_MS);
  const answer = ask(over.signal);
  answer.catch(() => undefined); // after the end nobody listens
  try {
    return await Promise.race([answer, stopped.promise]);
  } finally {
    clearInterval(timer);
  }
}

function standsStill(pid: number): CliError {
  return new CliError(
    'failed',
    CONTROL_STOPPED,
    `The control process ${pid} was stopped (SIGSTOP) and does not answer; caches go on.`,
    `Let it go on: kill -CONT ${pid}. Or end it, and its parent starts another: kill -KILL ${pid}`,
  );
}
