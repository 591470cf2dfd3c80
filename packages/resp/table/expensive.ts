/**
 * Commands whose cost grows with the data instead of with what was typed: the ones a guard may have
 * rules for. `counts`: what a rule's limit counts, where the size of a key decides; null: the whole
 * database is walked or emptied, and there is nothing to measure. `instead` is said in a refusal.
 */
export interface Expensive {
  readonly counts: 'fields' | 'elements' | 'members' | 'entries' | null;
  readonly instead: string;
}

const of = (
  names: string,
  counts: Expensive['counts'],
  instead: string,
): readonly (readonly [string, Expensive])[] =>
  names.split(' ').map((name) => [name, { counts, instead }] as const);

export const EXPENSIVE: ReadonlyMap<string, Expensive> = new Map([
  ...of('keys', null, 'SCAN'),
  ...of('flushall flushdb', null, 'cinnabar flush, or UNLINK of single keys'),
  ...of('swapdb', null, 'another cache'),
  ...of('hgetall', 'fields', 'HSCAN, or HMGET of the fields you need'),
  ...of('hkeys hvals', 'fields', 'HSCAN'),
  ...of('smembers', 'members', 'SSCAN'),
  ...of('sinter sunion sdiff', 'members', 'SSCAN, or SINTERCARD where a number is enough'),
  ...of('sinterstore sunionstore sdiffstore', 'members', 'smaller sets'),
  ...of('lrange', 'elements', 'LRANGE of a smaller range'),
  ...of('zrange zrevrange', 'elements', 'a smaller range, or ZSCAN'),
  ...of('zrangebyscore zrevrangebyscore', 'elements', 'LIMIT, or ZSCAN'),
  ...of('zrangebylex zrevrangebylex', 'elements', 'LIMIT, or ZSCAN'),
  ...of('zunion zinter zdiff', 'elements', 'smaller sorted sets, or ZINTERCARD'),
  ...of('zunionstore zinterstore zdiffstore zrangestore', 'elements', 'smaller sorted sets'),
  ...of('xrange xrevrange', 'entries', 'COUNT'),
  ...of('sort sort_ro', 'elements', 'a sorted set, which is kept in order'),
]);

/** In the order in which an error may list them. */
export const EXPENSIVE_NAMES: readonly string[] = [...EXPENSIVE.keys()];
