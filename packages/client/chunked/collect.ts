/**
 * Finishes what dead writers left. A note names the version that was being written and the one it
 * replaces; what counts is which version the manifest names now. Neither the made nor the replaced
 * one is kept unless it is that one; that one's chunks end with it. Repeating any of it changes nothing.
 */
import { messageOf } from '../errors.ts';
import type { ChunkedContext } from './chunked.ts';
import { outlive } from './expire.ts';
import { decodeManifest } from './manifest.ts';
import { retire } from './write.ts';

export async function collect(context: ChunkedContext): Promise<number> {
  let finished = 0;
  for (const [id, found] of await context.ledger.all()) {
    const { note } = found;
    if (Date.now() - note.at < context.tornMs) continue;
    // A writer that lives after all learns of it before its value counts.
    if (!(await context.ledger.take(id, found))) continue;
    const standing = await standingAt(context, note.key);
    for (const version of [note.made, note.replaced]) {
      if (version === undefined) continue;
      if (version.id === standing) await outlive(context, note.key, version);
      else await retire(context, version);
    }
    await context.ledger.strike(id);
    finished += 1;
  }
  return finished;
}

/** The version that counts under this key. */
async function standingAt(context: ChunkedContext, key: string): Promise<string | undefined> {
  try {
    const bytes = await context.raw('GET', key);
    return bytes instanceof Buffer ? idOf(key, bytes) : undefined;
  } catch (error) {
    // A list or a hash stands there now: it names no version either.
    if (messageOf(error).startsWith('WRONGTYPE')) return undefined;
    throw error;
  }
}

function idOf(key: string, bytes: Buffer): string | undefined {
  try {
    return decodeManifest(key, bytes)?.id;
  } catch {
    // What cannot be read names no version.
    return undefined;
  }
}

const lastRun = new WeakMap<object, number>();

/** At most once a quarter of the time after which a writer counts as dead. */
export function maybeCollect(context: ChunkedContext): void {
  const now = Date.now();
  const last = lastRun.get(context.ledger) ?? now - context.tornMs * Math.random() * 0.25;
  lastRun.set(context.ledger, last);
  if (now - last < context.tornMs / 4) return;
  lastRun.set(context.ledger, now);
  // Nobody waits for it; the next one finds what this one could not do.
  collect(context).catch(() => {});
}
