/** The catalogue as seen from this machine, now: what each SKU would be, and whether it fits. */
import type { Policy } from '../../endpoint/control-protocol.ts';
import { RETIRED_SKUS } from '../catalog/retired.ts';
import type { ScalingTarget } from '../catalog/scaling.ts';
import { SKUS, type Sku } from '../catalog/skus.ts';
import { ControlError } from '../errors.ts';
import type { Sizing, StateReason } from '../store/records.ts';
import type { Catalogue, ScalingStart } from './catalogue.ts';

/** A SKU on this machine. */
export interface SkuView {
  readonly name: string;
  readonly tier: string;
  readonly sizeInGB: number;
  readonly vcpus: number;
  readonly retired: boolean;
  /** Null where it cannot be made at all; `reason` says why. */
  readonly sizing: Sizing | null;
  /** It could be created now. */
  readonly fits: boolean;
  readonly reason: StateReason | null;
}

export interface SkuQuestion {
  readonly policy: Policy;
  readonly highAvailability: boolean;
}

/** `others`: what the caches that exist may use of this machine. */
export function skuViews(
  catalogue: Catalogue,
  question: SkuQuestion,
  others: readonly Sizing[],
): SkuView[] {
  const names = [...SKUS, ...RETIRED_SKUS].map((sku) => sku.name);
  return names.map((name) => view(catalogue, catalogue.offer(name, null).sku, question, others));
}

function view(
  catalogue: Catalogue,
  sku: Sku,
  { policy, highAvailability }: SkuQuestion,
  others: readonly Sizing[],
): SkuView {
  const common = {
    name: sku.name,
    tier: sku.tier,
    sizeInGB: sku.sizeGB,
    vcpus: sku.vcpus,
    retired: sku.kind === 'v1',
  };
  let sizing: Sizing | null = null;
  try {
    sizing = catalogue.sizing({ sku: sku.name, capacity: null, highAvailability, policy });
    catalogue.requireRoom(sizing, policy, others);
    return { ...common, sizing, fits: true, reason: null };
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    const { code, message } = error;
    return { ...common, sizing, fits: false, reason: { code, message } };
  }
}

/** What a cache could be scaled to now. */
export interface ScalingSkus {
  /** Azure's answer: those that are possible. */
  readonly skus: readonly { readonly name: string; readonly sizeInGB: number }[];
  /** Every SKU but its own, with what the cache would become, or why it cannot. */
  readonly targets: readonly SkuView[];
  /** Of the fullest shard, and of all together; null: not known. */
  readonly usedBytes: number | null;
  readonly usedInAllBytes: number | null;
}

/** A database that runs is asked what it holds; one that never ran may become any SKU that fits. */
export function scalingSkus(
  catalogue: Catalogue,
  { start, runs }: { readonly start: ScalingStart; readonly runs: boolean },
): ScalingSkus {
  const question = { policy: start.policy, highAvailability: start.current.replicas > 0 };
  const targets = runs
    ? catalogue.targets(start).map((each) => targetView(catalogue, each))
    : skuViews(catalogue, question, start.others).filter(
        (sku) => !sku.retired && sku.name !== start.current.sku,
      );
  return {
    skus: targets.filter((sku) => sku.fits).map(({ name, sizeInGB }) => ({ name, sizeInGB })),
    targets,
    usedBytes: start.usedBytes,
    usedInAllBytes: start.usedInAllBytes,
  };
}

function targetView(catalogue: Catalogue, { name, figures, reason }: ScalingTarget): SkuView {
  const { tier, sizeGB: sizeInGB, vcpus } = catalogue.offer(name, null).sku;
  const fits = reason === null;
  return { name, tier, sizeInGB, vcpus, retired: false, sizing: figures, fits, reason };
}
