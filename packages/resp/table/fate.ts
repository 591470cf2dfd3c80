/**
 * What becomes of a command at the endpoint. There is no default: a command gets its fate from its
 * key specs (`keyed`) or from the overrides, and one that is in neither is refused by name.
 */
export type Fate =
  /** To the shard of its keys; keys of several slots get the engine's own CROSSSLOT. */
  | { readonly kind: 'keyed' }
  /** Divided by slot, each part atomic, the answers joined. */
  | { readonly kind: 'split'; readonly join: 'array' | 'sum' | 'ok'; readonly step: 1 | 2 }
  /** To every primary; the answers merged. */
  | { readonly kind: 'all'; readonly merge: Merge }
  /** To one shard, always the same: the answer does not depend on which. */
  | { readonly kind: 'one' }
  /** EVAL and its family: to the shard of the keys, to the first one without keys. */
  | { readonly kind: 'script' }
  /** May wait in the engine: on a connection of its own, to the shard of its keys. */
  | { readonly kind: 'block'; readonly when: 'always' | 'block-option' }
  /** Answered here, by the handler of that name. */
  | { readonly kind: 'local'; readonly handler: string }
  /** Never passed on. `wording`: as a command that does not exist, or with the engine's own text. */
  | { readonly kind: 'refused'; readonly text: string };

export type Merge =
  /** Numbers added. */
  | 'sum'
  /** The same simple answer from all; the first error wins. */
  | 'same'
  /** Arrays appended in the order of the shards. */
  | 'concat'
  /** Arrays of 0 and 1, and-ed by position. */
  | 'and'
  /** One success is enough (SCRIPT KILL). */
  | 'any-success'
  /** The texts of INFO: numbers that count are added, the rest is the first shard's. */
  | 'info'
  /** Entries by time, newest first, cut to the count that was asked for. */
  | 'slowlog'
  /** One of the non-empty answers, weighted by the keys of its shard. */
  | 'random'
  /** Maps by command name; histograms added. */
  | 'histogram';

export interface Override {
  readonly fate: Fate;
  /** Why the engine's own description is not enough. */
  readonly why: string;
}
