/**
 * To which SKUs may a cache scale now? Azure's answer (`listSkusForScaling`) is a bare list; here
 * each SKU that is not in it has a reason.
 *
 * Memory, connections, threads and buffers change live. Another number of shards moves slots under
 * load, which the engines have to be able to, and for which what is stored must fit the new shards.
 * `NoCluster` always has one shard, so all its sizes (up to 25 GB) are reachable.
 */
import type { Policy } from '../../endpoint/control-protocol.ts';
import { ControlError } from '../errors.ts';
import type { Sizing, StateReason } from '../store/records.ts';
import { freeRoom, type Need, needOf, type Room, shortage } from './capacity.ts';
import { NO_CLUSTER_MAX_GB } from './limits.ts';
import { findOffer, type Offer } from './lookup.ts';
import { formatBytes } from './miniature.ts';
import { type SizingMachine, sizing } from './sizing.ts';
import { SKUS } from './skus.ts';

export interface ScalingQuestion {
  readonly current: Sizing;
  /** Capacity of the present SKU; null for Managed Redis. */
  readonly capacity: number | null;
  readonly policy: Policy;
  readonly machine: SizingMachine;
  readonly room: Room;
  /** Of all other databases: without this one. */
  readonly promised: Need;
  /** Of the fullest shard, bytes; null when it is not known, and then it does not refuse. */
  readonly usedBytes: number | null;
  /** Data of all shards together, bytes; null as above. */
  readonly usedInAllBytes: number | null;
  /** What an engine uses beside its data: each shard has one, however few there are. */
  readonly idleBytes: number;
  /** Why the engines that run cannot hand slots to each other now; null: they can. */
  readonly slotsStay: StateReason | null;
}

export interface ScalingTarget {
  readonly name: string;
  readonly sizeGB: number;
  /** What the database would become; null when it cannot. */
  readonly figures: Sizing | null;
  /** Why not; null when it can. */
  readonly reason: StateReason | null;
}

/**
 * Every SKU but the present one, with what it would mean or why it is out of reach. Those without a
 * reason are Azure's answer to `listSkusForScaling`; the rest is our addition to it.
 */
export function scalingTargets(question: ScalingQuestion): ScalingTarget[] {
  return SKUS.filter((sku) => sku.name !== question.current.sku).map((sku) =>
    target(question, findOffer(sku.name, null)),
  );
}

/**
 * The figures of one SKU that a cache is asked to scale to; those it has when it is the present one.
 *
 * @throws ControlError 400 `InvalidSku`, `InvalidSkuCapacity`; 409 or 501 with the reason's code
 */
export function requireScaling(
  question: ScalingQuestion,
  name: string,
  capacity: number | null,
): Sizing {
  const offer = findOffer(name, capacity);
  if (offer.sku.name === question.current.sku && offer.capacity === question.capacity) {
    return question.current;
  }
  const { figures, reason } = target(question, offer);
  if (figures !== null) return figures;
  const code = reason?.code ?? 'ScalingNotPossible';
  throw new ControlError(code, STATUS[code] ?? 409, reason?.message ?? '', 'sku.name');
}

const STATUS: Readonly<Record<string, number>> = { FlashNotBuilt: 501 };

function target(question: ScalingQuestion, offer: Offer): ScalingTarget {
  const { sku } = offer;
  const reason = impossible(question, offer);
  if (reason !== null) return { name: sku.name, sizeGB: sku.sizeGB, figures: null, reason };
  const figures = sized(question, offer);
  const later = refusal(question, figures);
  return {
    name: sku.name,
    sizeGB: sku.sizeGB,
    figures: later === null ? figures : null,
    reason: later,
  };
}

function sized(question: ScalingQuestion, offer: Offer): Sizing {
  return sizing(
    {
      sku: offer.sku.name,
      capacity: offer.capacity,
      highAvailability: question.current.replicas > 0,
      policy: question.policy,
    },
    question.machine,
  );
}

/** What the catalogue alone rules out. */
function impossible(question: ScalingQuestion, { sku }: Offer): StateReason | null {
  if (sku.flash) {
    return {
      code: 'FlashNotBuilt',
      message: `${sku.name} keeps values on disk; a cache in memory cannot become one, in Azure neither.`,
    };
  }
  if (question.policy === 'NoCluster' && sku.sizeGB > NO_CLUSTER_MAX_GB) {
    return {
      code: 'SkuNotAllowedForPolicy',
      // A change of the policy is no way out: from NoCluster it is not built.
      message: `NoCluster ends at ${NO_CLUSTER_MAX_GB} GB: for ${sku.name} make a second cache with another policy and copy the data.`,
    };
  }
  return null;
}

/** What this database and this machine rule out. */
function refusal(question: ScalingQuestion, figures: Sizing): StateReason | null {
  const { current } = question;
  const moving = figures.shards !== current.shards;
  const { slotsStay } = question;
  if (moving && slotsStay !== null) {
    const what = `${figures.sku} has ${figures.shards} shards and this cache ${current.shards}.`;
    return { code: slotsStay.code, message: `${what} ${slotsStay.message}` };
  }
  const full = moving ? perShard(question, figures.shards) : question.usedBytes;
  if (full !== null && full > figures.maxMemoryBytes) {
    return {
      code: 'UsedMemoryTooLarge',
      message:
        `${moving ? `A shard would hold about` : 'The fullest shard holds'} ${formatBytes(full)} and would have room for ${formatBytes(figures.maxMemoryBytes)} ` +
        `on ${figures.sku}. Delete keys or flush first.`,
    };
  }
  const { room, promised } = question;
  const short = shortage(needOf(figures), freeRoom(room, promised), room);
  if (short === null) return null;
  return {
    code: 'InsufficientCapacity',
    message: `On this machine, beside its other caches, ${figures.sku} needs ${short}.`,
  };
}

/** Slots are shared out evenly, and so are keys, nearly. */
function perShard({ usedInAllBytes, idleBytes }: ScalingQuestion, shards: number): number | null {
  return usedInAllBytes === null ? null : Math.ceil(usedInAllBytes / shards) + idleBytes;
}
