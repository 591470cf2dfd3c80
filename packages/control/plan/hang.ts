/**
 * Hung or busy? One thread serves an engine, so a legal slow command looks like a hang from
 * outside. Killing a healthy primary for it is worse than waiting: the same command then arrives at
 * the next copy, and kills that one too. So an engine that does not answer is judged by its
 * process: one that for a whole second used no CPU, nor waited for any (stopped, or stuck in the
 * kernel), is hung; one that works, or would if a core were free, is busy and gets long; one that
 * says -BUSY runs a script and gets longest. The second counts from when it last worked: a slow
 * command may wait for a disk for a moment. And when this process itself was late, or several
 * engines fell silent together, the machine is the suspect, not the engine.
 */
import {
  BUSY_AFTER_MS,
  DEADLINE_FAILOVER_GAP_MS,
  HUNG_AFTER_MS,
  OWN_DELAY_MS,
  SCRIPT_AFTER_MS,
} from './limits.ts';
import type { FenceReason, Sighting } from './model.ts';

export interface Surroundings {
  readonly now: number;
  readonly ownDelayMs: number;
  /** Another engine of this machine fell silent too. */
  readonly othersSilent: boolean;
  /** Since this shard last failed over because of a deadline; null: it never did. */
  readonly sinceDeadlineMs: number | null;
}

/** Why it should be fenced now, or how long to wait before asking again. */
export type Verdict =
  | { readonly fence: Extract<FenceReason, 'hung' | 'busy' | 'script'> }
  | { readonly waitMs: number; readonly suspect: string };

export function judge(seen: Sighting, around: Surroundings): Verdict {
  const silent = around.now - seen.since;
  const still = around.now - Math.max(seen.since, seen.stillSince);
  const script = seen.condition === 'script';
  const stopped = seen.process === 'stopped' || seen.process === 'uninterruptible';
  const fence = script ? 'script' : still >= HUNG_AFTER_MS ? 'hung' : 'busy';
  if (script && silent < SCRIPT_AFTER_MS) {
    return { waitMs: SCRIPT_AFTER_MS - silent, suspect: fence };
  }
  if (!script && still < HUNG_AFTER_MS && silent < BUSY_AFTER_MS) {
    return { waitMs: HUNG_AFTER_MS - still, suspect: stopped ? 'hung' : 'busy' };
  }
  if (around.ownDelayMs > OWN_DELAY_MS) return { waitMs: HUNG_AFTER_MS, suspect: 'control-late' };
  if (around.othersSilent && !stopped) return { waitMs: HUNG_AFTER_MS, suspect: 'machine-late' };
  const gap = around.sinceDeadlineMs;
  if (gap !== null && gap < DEADLINE_FAILOVER_GAP_MS) {
    return { waitMs: DEADLINE_FAILOVER_GAP_MS - gap, suspect: 'failed-over-lately' };
  }
  return { fence };
}
