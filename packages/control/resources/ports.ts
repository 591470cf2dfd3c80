/**
 * Which ports this machine listens on, read from the kernel without binding anything: a write must
 * decide in one turn of the event loop, and a bind takes several. The endpoint's own bind remains
 * the judge; this finds the usual case before anything is promised.
 *
 * Where there is no /proc (macOS), nothing is known and every port counts as free here: a port
 * that is taken then shows as the endpoint's named failure instead of a 409.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { PortView } from './contract.ts';

const TABLES = ['/proc/net/tcp', '/proc/net/tcp6'];
/** State of a listening socket in these tables. */
const LISTEN = '0A';

/** Lines of /proc/net/tcp as [port, inode] of the sockets that listen. */
export function parseListeners(table: string): (readonly [port: number, inode: string])[] {
  const found: (readonly [number, string])[] = [];
  for (const line of table.split('\n').slice(1)) {
    const fields = line.trim().split(/\s+/);
    const [, local, , state] = fields;
    const inode = fields[9];
    if (local === undefined || state !== LISTEN || inode === undefined) continue;
    const port = Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16);
    if (port > 0) found.push([port, inode]);
  }
  return found;
}

function readListeners(): (readonly [number, string])[] {
  return TABLES.flatMap((path) => {
    try {
      return parseListeners(readFileSync(path, 'utf8'));
    } catch {
      return []; // no /proc, or no IPv6: see the head of this file
    }
  });
}

/** 'process 1234 (nginx)'; only processes of the same user can be looked into. */
function processOf(inode: string): string | null {
  const wanted = `socket:[${inode}]`;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const fds = readdirSync(`/proc/${pid}/fd`);
      if (fds.some((fd) => leadsTo(`/proc/${pid}/fd/${fd}`, wanted))) {
        return `process ${pid} (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()})`;
      }
    } catch {
      // gone meanwhile, or another user's: go on with the next one
    }
  }
  return null;
}

function leadsTo(link: string, wanted: string): boolean {
  try {
    return readlinkSync(link) === wanted;
  } catch {
    return false; // closed since it was listed: of a busy process some always are
  }
}

export const kernelPorts: PortView = {
  listening: () => new Set(readListeners().map(([port]) => port)),
  describe: (port) => {
    const inode = readListeners().find(([listening]) => listening === port)?.[1];
    const owner = inode === undefined ? null : processOf(inode);
    return owner ?? 'a process of another user';
  },
};
