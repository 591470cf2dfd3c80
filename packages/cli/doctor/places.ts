/** Folders, permissions, disk, certificates, leftovers: what is on this machine for this data folder. */
import { X509Certificate } from 'node:crypto';
import { accessSync, constants, existsSync, lstatSync, readFileSync, statfsSync } from 'node:fs';
import path from 'node:path';
import { CONTROL_FILE, type ControlFile, TOKEN_FILE } from '../../control/boot-protocol.ts';
import type { Folders } from '../folders.ts';
import { CERTIFICATE_WARN_MS, DISK_FAIL_BYTES, DISK_WARN_BYTES } from '../limits.ts';
import { processesOf } from '../orphans.ts';
import { bytes, plural, when } from '../output/text.ts';
import { userId } from '../self.ts';
import type { Finding } from './check.ts';
import { fail, ok, warn } from './check.ts';

/** The nearest part of a path that exists: folders that are not made yet are judged by their parent. */
function nearest(folder: string): string {
  return existsSync(folder) || path.dirname(folder) === folder
    ? folder
    : nearest(path.dirname(folder));
}

export function folderFinding(id: string, title: string, folder: string): Finding {
  const there = nearest(folder);
  try {
    accessSync(there, constants.W_OK | constants.X_OK);
  } catch {
    return fail(id, title, `${folder} cannot be written`, `Check who owns it: ls -ld '${there}'`);
  }
  if (there !== folder) return ok(id, title, `${folder} (made at the first start)`);
  const facts = lstatSync(folder);
  if (facts.uid !== userId()) {
    return fail(
      id,
      title,
      `${folder} belongs to user ${facts.uid}, you are ${userId()}`,
      'Run Cinnabar as one user only, or choose another folder with --home.',
    );
  }
  return (facts.mode & 0o077) === 0
    ? ok(id, title, folder)
    : fail(id, title, `${folder} is open to others`, `Type: chmod 700 '${folder}'`);
}

/** Files with secrets: readable by their owner only. */
export function secretFiles(home: string): Finding {
  const open = [TOKEN_FILE, CONTROL_FILE]
    .map((name) => path.join(home, name))
    .filter((file) => existsSync(file) && (lstatSync(file).mode & 0o077) !== 0);
  return open.length === 0
    ? ok('secrets', 'Secret files', 'readable by you only')
    : fail(
        'secrets',
        'Secret files',
        `open to others: ${open.join(', ')}`,
        `Type: chmod 600 ${open.join(' ')}`,
      );
}

export function disk(folder: string): Finding {
  const facts = statfsSync(nearest(folder));
  const free = facts.bavail * facts.bsize;
  const detail = `${bytes(free)} free for ${folder}`;
  const remedy = 'Free some space; large and old files: du -xh / | sort -h | tail';
  if (free < DISK_FAIL_BYTES) return fail('disk', 'Disk', detail, remedy);
  return free < DISK_WARN_BYTES ? warn('disk', 'Disk', detail, remedy) : ok('disk', 'Disk', detail);
}

export function certificate(control: ControlFile | null, now: number): Finding {
  if (control === null) return ok('certificate', 'Certificates', 'looked at when Cinnabar runs');
  try {
    const root = new X509Certificate(readFileSync(control.caFile));
    const from = Date.parse(root.validFrom);
    const to = Date.parse(root.validTo);
    if (now < from) {
      return fail(
        'certificate',
        'Certificates',
        `the CA is valid from ${when(from)} only: the clock went back`,
        'Set the clock: sudo timedatectl set-ntp true',
      );
    }
    if (to - now < CERTIFICATE_WARN_MS) {
      return fail(
        'certificate',
        'Certificates',
        `the CA expires at ${when(to)}`,
        'Restart to renew it: cinnabar down && cinnabar up. Clients then need the new file.',
      );
    }
    return ok('certificate', 'Certificates', `CA valid to ${when(to)}: ${control.caFile}`);
  } catch (error) {
    return fail(
      'certificate',
      'Certificates',
      `${control.caFile}: ${error instanceof Error ? error.message : String(error)}`,
      'Restart makes what is missing: cinnabar down && cinnabar up',
    );
  }
}

export function orphans(folders: Folders, running: boolean): Finding {
  const left = processesOf(folders);
  if (running || left.length === 0) {
    return ok(
      'orphans',
      'Processes',
      running ? plural(left.length, 'process', 'processes') : 'none left over',
    );
  }
  return warn(
    'orphans',
    'Processes',
    `${plural(left.length, 'process', 'processes')} without a control process: ${left
      .slice(0, 4)
      .map((p) => p.pid)
      .join(', ')}`,
    'Take them over: cinnabar up. Or stop them in order: cinnabar down',
  );
}
