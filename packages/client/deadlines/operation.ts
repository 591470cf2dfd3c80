/** A deadline for a whole operation of several commands, and any signal of the caller's, as one signal. */
import { callback, check, duration } from '../checks.ts';
import { KitError } from '../errors.ts';
import { DEADLINE_OPERATION_MS } from '../limits.ts';

/**
 * Runs `work` with a signal that ends it at the deadline or with `signal`, whichever is first. Hand
 * the signal on: `calling(redis, { signal })`. What is still going on then fails as aborted.
 */
export async function within<T>(
  deadlineMs: number = DEADLINE_OPERATION_MS,
  work: (signal: AbortSignal) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  check('within()', deadlineMs, duration, 'the deadline');
  check('within()', work, callback, 'the work');
  const controller = new AbortController();
  const late = new KitError(
    'ERR_CLIENT_DEADLINE',
    `the operation was not over after ${deadlineMs} ms`,
  );
  const timer = setTimeout(() => controller.abort(late), deadlineMs);
  const forward = (): void => controller.abort(signal?.reason);
  if (signal?.aborted === true) forward();
  signal?.addEventListener('abort', forward, { once: true });
  const ended = new Promise<never>((_resolve, reject) => {
    const stop = (): void => reject(controller.signal.reason);
    if (controller.signal.aborted) stop();
    else controller.signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work(controller.signal), ended]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', forward);
    // The race is over: a later abort is nobody's failure.
    ended.catch(() => {});
  }
}
