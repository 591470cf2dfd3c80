/** The short way of a plain command: to the shard of its first key, with nothing to decide. */
import { slotOfRange } from '../../resp/index.ts';
import type { ArgumentRanges, Command } from '../../resp/table/index.ts';
import { BULK_BYTES } from './limits.ts';
import type { Session } from './session.ts';

/** The shard, or -1: then `dispatch` decides (and may decide to wait). */
export function plainShard(
  session: Session,
  command: Command,
  bytes: Buffer,
  args: ArgumentRanges & { readonly end: number },
): number {
  const { topology, large } = session.proxy.world;
  const { firstKey, arity } = command;
  const { count, starts, ends } = args;
  if (firstKey >= count || args.end - (starts[0] ?? 0) > BULK_BYTES) return -1;
  if (arity > 0 ? count !== arity : count < -arity) return -1;
  const start = starts[firstKey] ?? 0;
  const end = ends[firstKey] ?? 0;
  if (large.seen > 0 && large.isLarge(bytes, start, end, command, session)) return -1;
  if (topology.shards.length === 1) return 0;
  return topology.slots[slotOfRange(bytes, start, end)] ?? -1;
}
