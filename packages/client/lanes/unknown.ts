/**
 * A server that stands in front of others may lose one with a command on it, and says so. To the caller of a
 * write that is what a lost connection is: it ran, or it did not. Reads have been made again before this is asked.
 */
import { UnknownOutcomeError } from '../errors.ts';
import { saysLost } from '../retries/policy.ts';
import { shown } from '../telemetry/explain.ts';

export function asKnown(
  error: unknown,
  call: { readonly name: string; readonly key: string | undefined; readonly read: boolean },
): unknown {
  if (call.read || !saysLost(error)) return error;
  const lost = 'the server lost the shard that had it';
  return new UnknownOutcomeError(nameOf(call.name), shown(call.key), error, lost);
}

/** Of a command in capitals; of a batch as it is. */
function nameOf(name: string): string {
  return name.includes(' ') ? name : name.toUpperCase();
}
