/**
 * The catalogue on this machine: `control/catalog` holds the figures and the rules, this binds them
 * to the machine's cores and to the room that was last seen on it.
 */
import type { Policy } from '../../endpoint/control-protocol.ts';
import { addNeeds, needOf, type Room, requireCapacity } from '../catalog/capacity.ts';
import { NO_CLUSTER_MAX_GB } from '../catalog/limits.ts';
import { findOffer, type Offer } from '../catalog/lookup.ts';
import { requireScaling, type ScalingTarget, scalingTargets } from '../catalog/scaling.ts';
import { type SizingMachine, type SizingRequest, sizing } from '../catalog/sizing.ts';
import type { Sizing, StateReason } from '../store/records.ts';

export interface ScalingStart {
  readonly current: Sizing;
  readonly capacity: number | null;
  readonly policy: Policy;
  /** What the others may use of this machine. */
  readonly others: readonly Sizing[];
  /** Of the fullest shard, and of all together; null: not known. */
  readonly usedBytes: number | null;
  readonly usedInAllBytes: number | null;
  readonly idleBytes: number;
  /** Why the engines that run cannot hand slots to each other now; null: they can. */
  readonly slotsStay: StateReason | null;
}

export interface Catalogue {
  /** In Azure's spelling, with the default capacity. Throws ControlError for what is not offered. */
  offer(name: string, capacity: number | null): Offer;
  /** Throws ControlError: flash, NoCluster above its size. */
  sizing(request: SizingRequest): Sizing;
  /**
   * Of a cluster whose database, and with it the policy, is not known yet: what it needs at least.
   * Throws ControlError: flash.
   */
  least(request: Omit<SizingRequest, 'policy'>): {
    readonly figures: Sizing;
    readonly policy: Policy;
  };
  /** Throws ControlError `InsufficientCapacity` when it does not fit beside the others, now. */
  requireRoom(wanted: Sizing, policy: Policy, others: readonly Sizing[]): void;
  /** Figures of the SKU that a running database is asked to become; throws ControlError if it cannot. */
  requireScaling(start: ScalingStart, name: string, capacity: number | null): Sizing;
  targets(start: ScalingStart): ScalingTarget[];
}

export function catalogueOn(machine: SizingMachine, room: () => Room): Catalogue {
  const question = (start: ScalingStart) => ({
    current: start.current,
    capacity: start.capacity,
    policy: start.policy,
    usedBytes: start.usedBytes,
    usedInAllBytes: start.usedInAllBytes,
    idleBytes: start.idleBytes,
    slotsStay: start.slotsStay,
    machine,
    room: room(),
    promised: addNeeds(start.others.map(needOf)),
  });
  return {
    offer: findOffer,
    sizing: (request) => sizing(request, machine),
    least: (request) => {
      const large = findOffer(request.sku, request.capacity).sku.sizeGB > NO_CLUSTER_MAX_GB;
      // One shard needs less than several of the same size together.
      const policy = large ? 'OSSCluster' : 'NoCluster';
      return { policy, figures: sizing({ ...request, policy }, machine) };
    },
    requireRoom: (figures, policy, others) =>
      requireCapacity({
        figures,
        policy,
        machine,
        room: room(),
        promised: addNeeds(others.map(needOf)),
      }),
    requireScaling: (start, name, capacity) => requireScaling(question(start), name, capacity),
    targets: (start) => scalingTargets(question(start)),
  };
}
