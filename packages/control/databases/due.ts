/**
 * What an engine is asked at a beat. Pure.
 *
 * Each question wakes two processes, and on an idle machine nothing else is done: so their number is
 * what an idle cache costs. A replica's silence is not urgent: it is only sampled. A primary is asked at
 * every beat, so that a hang is found within a second and a bit. One that nobody writes to is only
 * sampled too: if somebody reads from it, the endpoint misses the answers before we do
 * (`Databases.suspect`); if nobody does, nobody waits for the second that its hang is found later.
 */
import { BEATS_PER_SAMPLE, SAMPLES_PER_LOOK } from './limits.ts';

export type Due = 'nothing' | 'ping' | 'sample' | 'look';

/** `quiet`: it answers, and its stream stood still between the last two samples. */
export function dueAt(beat: number, role: 'primary' | 'replica', quiet: boolean): Due {
  if (beat % BEATS_PER_SAMPLE === 0) {
    return (beat / BEATS_PER_SAMPLE) % SAMPLES_PER_LOOK === 0 ? 'look' : 'sample';
  }
  return role === 'replica' || quiet ? 'nothing' : 'ping';
}
