/** What a call will probably bring, and until when: set once, when it comes in. */
import { deadlineOf } from '../deadlines/classes.ts';
import { SMALL_REPLY_BYTES } from '../limits.ts';
import type { Call } from './call.ts';
import type { LargeSketch } from './learn.ts';
import type { LanesSettings } from './options.ts';

export function measure(call: Call, settings: LanesSettings, sketch: LargeSketch): void {
  const known = sketch.empty ? 0 : sketch.expected(call.name, call.key);
  call.large = known > 0 || call.bytesOut >= settings.largeBytes || call.calling?.large === true;
  call.weight = call.bytesOut + Math.max(known, SMALL_REPLY_BYTES);
  const { deadlines } = settings;
  if (deadlines !== undefined) call.deadlineAt = call.queuedAt + deadlineOf(call, deadlines);
}

/**
 * Nobody knew that its reply is large until the header said so: from then on it has a large value's time.
 * Where bytes stop coming, its connection is ended as a stalled one.
 */
export function turnedLarge(call: Call, { deadlines }: LanesSettings): void {
  if (deadlines === undefined || call.place === 'blocking') return;
  if (call.calling?.deadlineMs !== undefined) return;
  const large = call.queuedAt + call.offlineMs + deadlines.bulkMs;
  if (large > call.deadlineAt) call.deadlineAt = large;
}
