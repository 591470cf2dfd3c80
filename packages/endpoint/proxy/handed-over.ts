/**
 * Lanes to an engine that gave its place to a replica that had everything. What such an engine was
 * sent is safe with its successor, and it can say nothing about it any more (wait.ts).
 */
import { type ShardView, SWITCHING } from '../control-protocol.ts';
import type { Lane } from './lane.ts';

const lanesLeft = new WeakSet<Lane>();

/** `view` names another primary than the one that these lanes lead to. False: it may lack what that had. */
export function handOver(view: ShardView, lanes: Iterable<Lane>): boolean {
  if (view.state !== 'held' || view.reason !== SWITCHING) return false;
  for (const lane of lanes) {
    if (lane.copy === 'primary' && lane.node !== view.primary?.node) lanesLeft.add(lane);
  }
  return true;
}

export function handedOver(lane: Lane): boolean {
  return lanesLeft.has(lane);
}
