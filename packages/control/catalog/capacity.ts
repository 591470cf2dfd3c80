/**
 * Does a cache fit this machine? Pure: figures in, verdict out.
 *
 * The simple answers fail. "Free memory now" admits two caches that are both empty and both entitled
 * to all of it. "Total memory" ignores what else runs here. "maxmemory times copies" ignores that an
 * engine which makes a snapshot or a replica copies the pages that change meanwhile, and is killed
 * by the kernel at the moment when it is needed most. So each cache is counted with everything that
 * it may come to use, and what it was promised stays promised whether it uses it or not:
 *
 *   copies of each shard x (advertised size + the engine's own needs) + one fork a shard
 *
 * where the advertised size is `maxmemory` plus the fifth that Azure keeps for buffers. What others
 * use is what the kernel calls unavailable, less what our own engines use.
 */
import type { Policy } from '../../endpoint/control-protocol.ts';
import { ControlError } from '../errors.ts';
import type { Sizing } from '../store/records.ts';
import {
  ADVISED_SHARDS,
  DISK_RESERVE_BYTES,
  DISK_RESERVE_SHARE,
  ENGINE_BASE_BYTES,
  FORK_COPY_SHARE,
  MACHINE_RESERVE_BYTES,
  MACHINE_RESERVE_SHARE,
  MAX_ADVISED_DIVISOR,
  USABLE_SHARE,
} from './limits.ts';
import { formatBytes } from './miniature.ts';
import { type SizingMachine, sizing } from './sizing.ts';
import { SKUS } from './skus.ts';

/** What a database may come to use, in bytes. */
export interface Need {
  readonly memoryBytes: number;
  readonly diskBytes: number;
}

/** What this machine has; read by `readRoom`. All in bytes. */
export interface Room {
  readonly memory: {
    /** Of the machine, or of the tightest control group that we live in. */
    readonly totalBytes: number;
    /** What a new process could get without swapping, right now. */
    readonly availableBytes: number;
    /** Resident memory of the engines that we run: part of what is not available. */
    readonly ownBytes: number;
  };
  readonly disk: {
    readonly totalBytes: number;
    readonly availableBytes: number;
    /** Data files of our databases: part of what is not available. */
    readonly ownBytes: number;
  };
}

export interface Free {
  /** What new caches may be promised; below 0 when the machine is over-promised. */
  readonly memoryBytes: number;
  readonly diskBytes: number;
}

export const NOTHING: Need = { memoryBytes: 0, diskBytes: 0 };

/** Replicas, buffers, the copies of a fork and the engines themselves included. */
export function needOf(figures: Sizing): Need {
  const advertised = figures.maxMemoryBytes / USABLE_SHARE;
  const copies = 1 + figures.replicas;
  const fork = figures.maxMemoryBytes * FORK_COPY_SHARE;
  const shard = copies * (advertised + ENGINE_BASE_BYTES) + fork;
  return {
    memoryBytes: Math.ceil(figures.shards * shard),
    // An orderly stop writes each shard once, at most as large as it is in memory (engine rule 11).
    diskBytes: figures.shards * figures.maxMemoryBytes,
  };
}

export function addNeeds(needs: readonly Need[]): Need {
  return needs.reduce(
    (sum, each) => ({
      memoryBytes: sum.memoryBytes + each.memoryBytes,
      diskBytes: sum.diskBytes + each.diskBytes,
    }),
    NOTHING,
  );
}

/** What may still be promised, after what is promised, what others use and a reserve. */
export function freeRoom(room: Room, promised: Need): Free {
  const { memory, disk } = room;
  const forUsMemory = Math.min(memory.totalBytes, memory.availableBytes + memory.ownBytes);
  const forUsDisk = Math.min(disk.totalBytes, disk.availableBytes + disk.ownBytes);
  return {
    memoryBytes: Math.floor(
      forUsMemory -
        promised.memoryBytes -
        Math.max(MACHINE_RESERVE_BYTES, memory.totalBytes * MACHINE_RESERVE_SHARE),
    ),
    diskBytes: Math.floor(
      forUsDisk -
        promised.diskBytes -
        Math.max(DISK_RESERVE_BYTES, disk.totalBytes * DISK_RESERVE_SHARE),
    ),
  };
}

/** The figures of `SystemStatus.capacity`. */
export function capacitySummary(
  room: Room,
  promised: Need,
): { totalBytes: number; reservedBytes: number; freeBytes: number } {
  return {
    totalBytes: room.memory.totalBytes,
    reservedBytes: promised.memoryBytes,
    freeBytes: Math.max(0, freeRoom(room, promised).memoryBytes),
  };
}

export function fits(need: Need, free: Free): boolean {
  return shortages(need, free).length === 0;
}

/** What runs short, in words and figures, or null when it fits. */
export function shortage(need: Need, free: Free, { memory, disk }: Room): string | null {
  const total = { memory: memory.totalBytes, disk: disk.totalBytes };
  const each = shortages(need, free).map(
    (what) =>
      `${formatBytes(need[BYTES[what]])} of ${what} ${WHAT_FOR[what]}; ` +
      `${formatBytes(Math.max(0, free[BYTES[what]]))} of ${formatBytes(total[what])} ` +
      'are free for it',
  );
  return each.join(', and ') || null;
}

function shortages(need: Need, free: Free): ('memory' | 'disk')[] {
  return (['memory', 'disk'] as const).filter((what) => need[BYTES[what]] > free[BYTES[what]]);
}

const BYTES = { memory: 'memoryBytes', disk: 'diskBytes' } as const;
const WHAT_FOR = { memory: 'with buffers and fork copies', disk: 'for what a stop saves' };

export interface CapacityQuestion {
  readonly figures: Sizing;
  readonly policy: Policy;
  readonly machine: SizingMachine;
  readonly room: Room;
  /** Of all other databases: without the one that is being changed. */
  readonly promised: Need;
}

/**
 * Refuses a database that this machine cannot keep its promise to; says what is free and which SKU
 * fits.
 *
 * @throws ControlError 409 `InsufficientCapacity`, the code that Azure uses for a full region
 */
export function requireCapacity(question: CapacityQuestion): void {
  const need = needOf(question.figures);
  const free = freeRoom(question.room, question.promised);
  const short = shortage(need, free, question.room);
  if (short === null) return;
  const { sku, replicas, shards } = question.figures;
  const copies =
    replicas === 0
      ? 'without replicas'
      : replicas === 1
        ? 'with replicas'
        : `with ${replicas} replicas`;
  throw new ControlError(
    'InsufficientCapacity',
    409,
    `${sku} ${copies} (${shards} ${shards === 1 ? 'shard' : 'shards'}) needs ${short}. ` +
      `${advice(question, free, shortages(need, free))}${madeSmall(question, free)}`,
    'sku.name',
  );
}

function advice(question: CapacityQuestion, free: Free, short: readonly string[]): string {
  const { replicas } = question.figures;
  const highAvailability = replicas > 0;
  const fitting = largestThatFits({ ...question, free, highAvailability });
  // Suggestions are reckoned with one replica, which is what high availability is by itself.
  if (fitting !== null && replicas > 1)
    return `With one replica the largest that fits is ${fitting}.`;
  if (fitting !== null) return `The largest that fits is ${fitting}.`;
  const single = highAvailability
    ? largestThatFits({ ...question, free, highAvailability: false })
    : null;
  if (single !== null) {
    return `With high availability none fits; without it the largest is ${single}.`;
  }
  const none =
    question.machine.miniature === null ? 'No SKU fits' : 'No SKU fits, in miniature neither';
  return `${none}: delete a cache, or free ${short.join(' and ')}.`;
}

/** With which division of its memory the very SKU would fit beside what is promised; '' if with none. */
function madeSmall(question: CapacityQuestion, free: Free): string {
  const { sku, replicas } = question.figures;
  const highAvailability = replicas > 0;
  for (let divisor = 2; divisor <= MAX_ADVISED_DIVISOR; divisor *= 2) {
    const miniature = { memoryFactor: 1 / divisor, maxShards: ADVISED_SHARDS };
    const machine = { ...question.machine, miniature };
    const figures = sizingOrNull(sku, { ...question, machine, highAvailability });
    if (figures === null || !fits(needOf({ ...figures, replicas }), free)) continue;
    const option = `--miniature ${divisor}/${ADVISED_SHARDS}`;
    return ` Made small, for development, it fits after a start with 'cinnabar up ${option}'.`;
  }
  return '';
}

/** The SKU with the most memory that fits, of any tier; of equal ones the first in the catalogue. */
export function largestThatFits(question: {
  readonly policy: Policy;
  readonly machine: SizingMachine;
  readonly free: Free;
  readonly highAvailability: boolean;
}): string | null {
  let best: Sizing | null = null;
  for (const sku of SKUS) {
    const figures = sizingOrNull(sku.name, question);
    if (figures === null || !fits(needOf(figures), question.free)) continue;
    if (best === null || bytesOf(figures) > bytesOf(best)) best = figures;
  }
  return best?.sku ?? null;
}

function bytesOf(figures: Sizing): number {
  return figures.shards * figures.maxMemoryBytes;
}

/** Null for a SKU that this policy or this build refuses: it is no suggestion. */
function sizingOrNull(
  sku: string,
  question: {
    readonly policy: Policy;
    readonly machine: SizingMachine;
    readonly highAvailability: boolean;
  },
): Sizing | null {
  const { policy, highAvailability, machine } = question;
  try {
    return sizing({ sku, capacity: null, highAvailability, policy }, machine);
  } catch (error) {
    if (error instanceof ControlError) return null;
    throw error;
  }
}
