/**
 * SKUs in miniature: as this start was told, else as its environment says, else as an earlier start was told. One that
 * did not repeat the option made full-sized caches beside the small ones, and said nothing.
 */

import type { MiniatureOption } from '../boot-protocol.ts';
import { type Miniature, parseMiniature } from '../catalog/miniature.ts';
import type { Store } from '../store/index.ts';

const KEY = 'miniature';

/** `asked`: null ends it; absent: it was not named. */
export function miniatureOf(
  store: Store,
  asked: MiniatureOption | null | undefined,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Miniature | null {
  if (asked !== undefined) store.write(() => store.setMeta(KEY, JSON.stringify(asked)));
  const ofNow = asked === undefined ? parseMiniature(environment['CINNABAR_MINIATURE']) : null;
  if (ofNow !== null) return ofNow;
  const kept: MiniatureOption | null = JSON.parse(store.meta(KEY) ?? 'null');
  return kept === null ? null : { memoryFactor: 1 / kept.memoryDivisor, maxShards: kept.maxShards };
}
