/**
 * A replica serves now, and clients wait for the word. It is one word: the endpoint knows each replica,
 * and is logged in there since it lost the primary or was told to hold. Where a worker knows it not
 * (a copy that is younger than its last snapshot), it hears everything that is recorded instead.
 */
import type { Successor } from '../../../endpoint/control-protocol.ts';
import { SWITCH_PUBLISH_MS } from '../limits.ts';
import type { DatabaseLoop } from '../loop.ts';

/** After it was recorded that the successor serves. */
export async function letGoOn(
  loop: DatabaseLoop,
  index: number,
  successor: Successor,
): Promise<void> {
  if (await loop.deps.release(loop.id, index, successor)) return;
  await loop.deps.publishNow(SWITCH_PUBLISH_MS);
  await loop.deps.release(loop.id, index, null);
}
