/** What speaks for making the processes of a database anew. Pure. */
import type { Due, ShardStatus } from '../service.ts';
import type { DatabaseRecord } from '../store/index.ts';
import { FRAGMENTED_FROM_BYTES, FRAGMENTED_RATIO } from './limits.ts';

/** `engine`: what a start would run now, e.g. 'valkey 9.1.2'. */
export function dueOf(
  { sizing }: Pick<DatabaseRecord, 'sizing'>,
  shards: readonly ShardStatus[],
  engine: string,
): Due[] {
  const all = shards.flatMap((shard) => shard.instances);
  const due: Due[] = [];
  const others = new Set(all.map(({ instance }) => instance.engine));
  others.delete(engine);
  if (others.size > 0) {
    due.push({
      code: 'engine',
      message: `It runs ${[...others].sort().join(', ')}; the engine in use is ${engine}.`,
    });
  }
  const threads = all.find(
    ({ instance }) => (instance.threads ?? sizing.ioThreads) !== sizing.ioThreads,
  );
  if (threads !== undefined) {
    due.push({
      code: 'settings',
      message: `Its SKU has ${sizing.ioThreads} threads an engine; some run with ${threads.instance.threads}, and only a start changes that.`,
    });
  }
  const worst = Math.max(0, ...all.map(fragmentation));
  if (worst >= FRAGMENTED_RATIO) {
    due.push({
      code: 'fragmentation',
      message: `An engine takes ${worst.toFixed(1)} times the memory that it uses: the rest is in pieces that only a new process gives back.`,
    });
  }
  return due;
}

function fragmentation({
  usedMemoryBytes,
  residentBytes,
}: ShardStatus['instances'][number]): number {
  if (usedMemoryBytes === null || residentBytes === null) return 0;
  // Below that a process is mostly program.
  if (residentBytes < FRAGMENTED_FROM_BYTES) return 0;
  return residentBytes / Math.max(1, usedMemoryBytes);
}
