/** From what a request says (name, capacity) to one offer of the catalogue, or a refusal by name. */
import { ControlError } from '../errors.ts';
import { RETIRED_SKUS, type RetiredSku, retiredAt } from './retired.ts';
import { SKUS, type Sku } from './skus.ts';

export interface Offer {
  readonly sku: Sku;
  /** Data nodes, for the retired names; null for Managed Redis, whose answers must not carry one. */
  readonly capacity: number | null;
}

const PRESENT = new Map(SKUS.map((sku) => [sku.name.toLowerCase(), sku]));
const RETIRED = new Map(RETIRED_SKUS.map((sku) => [sku.name.toLowerCase(), sku]));

/** Every name that is accepted: the 44 present ones, then the 11 retired ones. */
export const SKU_NAMES: readonly string[] = [...SKUS, ...RETIRED_SKUS].map((sku) => sku.name);

/**
 * The offer that a request names. Names match without regard to case, as ARM's do, and come back in
 * Azure's spelling. A missing capacity of a retired name gets Azure's default.
 *
 * @throws ControlError 400 `InvalidSku` (unknown name), `InvalidSkuCapacity` (a capacity that the
 * name does not have)
 */
export function findOffer(name: string, capacity: number | null): Offer {
  const key = name.toLowerCase();
  const present = PRESENT.get(key);
  if (present !== undefined) {
    if (capacity !== null) {
      throw new ControlError(
        'InvalidSkuCapacity',
        400,
        `sku.capacity is ${capacity}, but ${present.name} has no capacity: its size is in its name. Leave sku.capacity out.`,
        'sku.capacity',
      );
    }
    return { sku: present, capacity: null };
  }
  const retired = RETIRED.get(key);
  if (retired !== undefined) return retiredOffer(retired, capacity);
  const hint = closest(key);
  throw new ControlError(
    'InvalidSku',
    400,
    `There is no SKU '${shorten(name)}'.${hint === null ? '' : ` Did you mean '${hint}'?`} ` +
      "All names: 'cinnabar sku list'.",
    'sku.name',
  );
}

function retiredOffer(retired: RetiredSku, capacity: number | null): Offer {
  const nodes = capacity ?? retired.defaultCapacity;
  const sku = retiredAt(retired, nodes);
  if (sku === null) {
    const allowed = retired.vcpusByCapacity.map(([each]) => each).join(', ');
    throw new ControlError(
      'InvalidSkuCapacity',
      400,
      `sku.capacity is ${nodes}, but ${retired.name} comes with ${allowed} only.`,
      'sku.capacity',
    );
  }
  return { sku, capacity: nodes };
}

/** A name is user input: an error quotes enough of it to recognise, not a page. */
function shorten(name: string): string {
  return name.length <= 64 ? name : `${name.slice(0, 61)}...`;
}

/** The one name that ends in what was typed ('b1', 'X10'); null when none or several do. */
function closest(typed: string): string | null {
  const suffix = typed.slice(typed.lastIndexOf('_') + 1);
  if (suffix === '') return null;
  const matches = SKU_NAMES.filter((each) => each.toLowerCase().endsWith(`_${suffix}`));
  return matches.length === 1 ? (matches[0] ?? null) : null;
}
