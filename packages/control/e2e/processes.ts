/** The processes of one scratch folder, found by their arguments, environment and working folder. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { END_DEADLINE_MS, POLL_MS } from './limits.ts';

export interface Seen {
  readonly pid: number;
  readonly args: string;
  readonly environment: string;
}

export function processesUnder(folder: string): Seen[] {
  const found: Seen[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    try {
      if (/^State:\s+[ZX]/m.test(readFileSync(`/proc/${entry}/status`, 'utf8'))) continue;
      const args = readFileSync(`/proc/${entry}/cmdline`, 'latin1').replaceAll('\0', ' ');
      const environment = readFileSync(`/proc/${entry}/environ`, 'latin1');
      // The guard of the test itself carries the folder, too; it has to stay to the end.
      if (args.startsWith('sh -c')) continue;
      const place = readlinkSync(`/proc/${entry}/cwd`);
      if (![args, environment, place].some((text) => text.includes(folder))) continue;
      found.push({ pid: Number(entry), args, environment });
    } catch {
      // It ended between the listing and the look, or belongs to somebody else.
    }
  }
  return found;
}

export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** SIGKILL until none is found: a supervisor may have started another one meanwhile. */
export async function killAllUnder(folder: string): Promise<void> {
  const deadline = Date.now() + END_DEADLINE_MS;
  for (;;) {
    const left = processesUnder(folder);
    if (left.length === 0) return;
    if (Date.now() > deadline)
      throw new Error(`still there: ${left.map((p) => p.args).join('\n')}`);
    for (const { pid } of left) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended meanwhile.
      }
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
