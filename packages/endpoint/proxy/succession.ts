/**
 * A replica became primary, and one word says so: no snapshot has to be made, sent and applied while
 * clients wait, because everything that is to be known of it is known here already.
 *
 * In a planned switch there is a word before it: the successor says that it is primary, and the old one
 * has not heard of it yet. Clients are held until it has, and meanwhile lanes and subscriptions are
 * brought to the successor, so that the last word has only to let clients go on. Until it comes nothing
 * is decided: a hold that ends in another way takes all of it back.
 */
import { type ShardView, type Successor, SWITCHING } from '../control-protocol.ts';
import { NotHeld, UnknownSuccessor } from '../data-path.ts';
import type { Shard } from './shard.ts';

interface Expected {
  /** How the shard was before. */
  readonly before: ShardView;
  readonly takenBack: () => void;
}

const expected = new WeakMap<Shard, Expected>();

/** Throws UnknownSuccessor. Until it is released, the shard is held. */
export function succeed(shard: Shard, { node, reason }: Successor): void {
  if (shard.view.primary?.node !== node) takeBack(shard);
  expected.delete(shard);
  const { primary, replicas } = shard.view;
  if (primary?.node === node) return;
  const next = replicas.find((replica) => replica.node === node);
  if (next === undefined) throw new UnknownSuccessor(shard.id, node);
  const others = replicas.filter((replica) => replica !== next);
  shard.apply({ ...shard.view, state: 'held', reason, primary: next, replicas: others });
}

/** The same for a while; `takenBack` is called if it was in vain. Throws NotHeld, UnknownSuccessor. */
export function expect(shard: Shard, successor: Successor, takenBack: () => void): void {
  if (shard.obstacle !== 'shard-held') throw new NotHeld(shard.id);
  const before = shard.view;
  if (before.primary?.node === successor.node) return;
  succeed(shard, successor);
  expected.set(shard, { before, takenBack });
}

/** Nobody became primary after all, or it is not known: the shard is as it was. */
export function takeBack(shard: Shard): void {
  const inVain = expected.get(shard);
  if (inVain === undefined) return;
  expected.delete(shard);
  const { before, takenBack } = inVain;
  // That primary has everything, as a successor by plan would.
  shard.apply({ ...before, state: 'held', reason: SWITCHING });
  shard.view = before;
  takenBack();
}

/** A snapshot says who is primary: this node, or nobody. */
export function decided(shard: Shard, node: string | undefined): void {
  if (shard.view.primary?.node === node) expected.delete(shard);
  else takeBack(shard);
}
