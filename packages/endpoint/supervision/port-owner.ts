/**
 * Who listens on a port: "EADDRINUSE" alone sends people hunting. Linux tells the socket's inode in
 * /proc/net/tcp and the process in /proc/<pid>/fd, as far as we may read. Answers null when it
 * cannot know; that is no error.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const LISTENING = '0A';

export function portOwner(port: number): string | null {
  const inodes = new Set([
    ...listeningInodes('/proc/net/tcp', port),
    ...listeningInodes('/proc/net/tcp6', port),
  ]);
  if (inodes.size === 0) return null;
  for (const pid of pids()) {
    if (ownsAny(pid, inodes)) return `process ${pid} (${nameOf(pid)})`;
  }
  return "another user's process";
}

function listeningInodes(file: string, port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const found: string[] = [];
  for (const line of linesOf(file)) {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    if (state === LISTENING && local?.endsWith(`:${hex}`) && inode) found.push(inode);
  }
  return found;
}

function linesOf(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n').slice(1);
  } catch {
    return []; // no /proc, or no IPv6: nothing can be said
  }
}

function pids(): string[] {
  try {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

function ownsAny(pid: string, inodes: ReadonlySet<string>): boolean {
  let descriptors: string[];
  try {
    descriptors = readdirSync(`/proc/${pid}/fd`);
  } catch {
    return false; // gone, or another user's
  }
  return descriptors.some((descriptor) => {
    try {
      const target = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${descriptor}`));
      return target?.[1] !== undefined && inodes.has(target[1]);
    } catch {
      return false; // closed meanwhile
    }
  });
}

function nameOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return 'name unknown';
  }
}
