/**
 * A replica became primary, and one word says so: no snapshot has to be made, sent and applied while
 * clients wait, because everything that is to be known of it is known here already.
 */
import type { Successor } from '../control-protocol.ts';
import { UnknownSuccessor } from '../data-path.ts';
import type { Shard } from './shard.ts';

/** Throws UnknownSuccessor. Until it is released, the shard is held. */
export function succeed(shard: Shard, { node, reason }: Successor): void {
  const { primary, replicas } = shard.view;
  if (primary?.node === node) return;
  const next = replicas.find((replica) => replica.node === node);
  if (next === undefined) throw new UnknownSuccessor(shard.id, node);
  const others = replicas.filter((replica) => replica !== next);
  shard.apply({ ...shard.view, state: 'held', reason, primary: next, replicas: others });
}
