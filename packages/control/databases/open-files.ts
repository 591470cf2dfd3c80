/**
 * How many clients an engine can have at all: it refuses a `maxclients` that its limit of open files
 * has no room for, at start in silence and at CONFIG SET with an error. Engines inherit our limit.
 */
import { readFileSync } from 'node:fs';
import { CONNECTION_RESERVE, ENGINE_OPEN_FILES } from './limits.ts';

/** Of this process; infinite where it is not limited or the system does not say. */
export function mostEngineClients(): number {
  limit ??= openFilesLimit(readLimits());
  return limit - ENGINE_OPEN_FILES;
}

/** Of clients' own connections: what is left of it beside ours. */
export function mostConnections(): number {
  return mostEngineClients() - CONNECTION_RESERVE;
}

let limit: number | null = null;

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    // No /proc on this system: its engines say themselves what they cannot do.
    return '';
  }
}

/** The hard limit in the text of /proc/<pid>/limits. */
export function openFilesLimit(text: string): number {
  const hard = /^Max open files\s+\S+\s+(\d+)/m.exec(text)?.[1];
  return hard === undefined ? Number.POSITIVE_INFINITY : Number(hard);
}
