/** The machine: limits of the kernel and of this user, memory, clock. Linux; elsewhere it says so. */
import { existsSync, readFileSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';
import { OPEN_FILES_FAIL, OPEN_FILES_WARN } from '../limits.ts';
import { bytes } from '../output/text.ts';
import type { Finding } from './check.ts';
import { fail, ok, warn } from './check.ts';

/** Null when the file is not there: another system, or a container that hides it. */
function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

export function machineFindings(): Finding[] {
  if (process.platform !== 'linux') {
    return [
      warn(
        'platform',
        'Platform',
        `${process.platform} ${process.arch} was not tried`,
        'Use Linux, or WSL 2 on Windows.',
      ),
    ];
  }
  return [
    platform(),
    openFiles(read('/proc/self/limits') ?? ''),
    overcommit(read('/proc/sys/vm/overcommit_memory')),
    hugePages(read('/sys/kernel/mm/transparent_hugepage/enabled')),
    backlog(read('/proc/sys/net/core/somaxconn')),
    memory(),
    clock(
      Date.now(),
      existsSync('/run/systemd/system'),
      existsSync('/run/systemd/timesync/synchronized'),
    ),
  ];
}

function platform(): Finding {
  const tried = process.arch === 'x64' || process.arch === 'arm64';
  return tried
    ? ok('platform', 'Platform', `linux ${process.arch}`)
    : warn('platform', 'Platform', `linux ${process.arch} was not tried`, 'Use x64 or arm64.');
}

function openFiles(limits: string): Finding {
  const match = /^Max open files\s+(\S+)\s+(\S+)/m.exec(limits);
  const soft = match?.[1] === 'unlimited' ? Number.POSITIVE_INFINITY : Number(match?.[1] ?? 0);
  const hard = match?.[2] ?? '?';
  const detail = `${match?.[1] ?? 'unknown'} (hard limit ${hard})`;
  const raise =
    match?.[1] === hard
      ? 'Have root raise the hard limit (nofile in /etc/security/limits.conf), and log in again.'
      : `Type before cinnabar up: ulimit -n ${hard}.`;
  const remedy = `${raise} For a service: LimitNOFILE=1048576 (service install writes it).`;
  // Node raises its own soft limit to the hard one at start, so what this shows is what is left.
  if (soft <= OPEN_FILES_FAIL) return fail('open-files', 'Open files', detail, remedy);
  if (soft < OPEN_FILES_WARN) return warn('open-files', 'Open files', detail, remedy);
  return ok('open-files', 'Open files', detail);
}

function overcommit(value: string | null): Finding {
  const mode = value?.trim();
  if (mode === undefined) {
    return warn(
      'overcommit',
      'Memory overcommit',
      'cannot be read here',
      'Check it on the host: sysctl vm.overcommit_memory',
    );
  }
  if (mode === '2') {
    return fail(
      'overcommit',
      'Memory overcommit',
      'vm.overcommit_memory = 2: a snapshot of a large cache will be refused its memory',
      'Type: sudo sysctl vm.overcommit_memory=1, and write it to /etc/sysctl.d/90-cinnabar.conf',
    );
  }
  return mode === '1'
    ? ok('overcommit', 'Memory overcommit', 'vm.overcommit_memory = 1')
    : warn(
        'overcommit',
        'Memory overcommit',
        `vm.overcommit_memory = ${mode}: a snapshot may fail when memory is short`,
        'Type: sudo sysctl vm.overcommit_memory=1, and write it to /etc/sysctl.d/90-cinnabar.conf',
      );
}

function hugePages(value: string | null): Finding {
  if (value === null) return ok('huge-pages', 'Huge pages', 'not offered by this kernel');
  const mode = /\[(\w+)\]/.exec(value)?.[1] ?? value.trim();
  return mode === 'always'
    ? warn(
        'huge-pages',
        'Huge pages',
        'transparent_hugepage = always: snapshots use more memory and stall writers',
        'Type: echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled',
      )
    : ok('huge-pages', 'Huge pages', `transparent_hugepage = ${mode}`);
}

const LEAST_BACKLOG = 511;

export function backlog(value: string | null): Finding {
  const most = Number(value ?? LEAST_BACKLOG);
  return most < LEAST_BACKLOG
    ? warn(
        'backlog',
        'Accept queue',
        `net.core.somaxconn = ${most}: a storm of new connections is refused`,
        'Type: sudo sysctl net.core.somaxconn=4096',
      )
    : ok('backlog', 'Accept queue', `net.core.somaxconn = ${most}`);
}

const LEAST_MEMORY_BYTES = 512 * 1024 * 1024;

function memory(): Finding {
  const constrained = process.constrainedMemory();
  const limited = constrained > 0 && constrained < totalmem();
  const total = limited ? constrained : totalmem();
  const available = process.availableMemory?.() ?? freemem();
  const detail = `${bytes(available)} available of ${bytes(total)}${limited ? ' (limit of this container)' : ''}`;
  return available < LEAST_MEMORY_BYTES
    ? warn('memory', 'Memory', detail, 'Free some memory, or use smaller SKUs: cinnabar sku list')
    : ok('memory', 'Memory', detail);
}

/** No build of Cinnabar is older than this. */
const FIRST_BUILD_MS = Date.UTC(2025, 0, 1);

export function clock(now: number, systemd: boolean, synchronised: boolean): Finding {
  const shown = new Date(now).toISOString();
  if (now < FIRST_BUILD_MS) {
    return fail(
      'clock',
      'Clock',
      `says ${shown}: certificates made now would be refused, keys would expire wrongly`,
      'Set the clock: sudo timedatectl set-ntp true',
    );
  }
  const how = synchronised ? ', synchronised' : systemd ? '' : ', synchronisation not known here';
  return ok('clock', 'Clock', shown + how);
}
