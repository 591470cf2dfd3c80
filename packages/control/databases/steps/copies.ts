/**
 * Two versions of the engine: equal offsets prove nothing. A replica that does not know a command logs an
 * error, stays connected, moves its offset on and lacks the write (seen between 9.1 and 8.0). So before
 * such a replica takes over, while nobody can write, two more questions: how many keys each has, and
 * whether the replica met anything in its stream that it could not execute (engine rule 10).
 */
import type { EngineLink } from '../../../engine/contract.ts';
import type { StateReason } from '../../store/records.ts';
import { SWITCH_VERB_MS } from '../limits.ts';

/** Null: it is as good a copy as can be told. To be asked when the primary is paused and both are equal. */
export async function whatDiffers(old: EngineLink, next: EngineLink): Promise<StateReason | null> {
  const [keys, copied, unexpected] = await Promise.all([
    keysOf(old),
    keysOf(next),
    unexpectedErrors(next),
  ]);
  if (unexpected > 0) {
    return differs(
      `it could not execute ${unexpected} of the commands that its primary sent it (its log names them)`,
    );
  }
  return keys === copied ? null : differs(`it has ${copied} keys and its primary ${keys}`);
}

function differs(how: string): StateReason {
  return {
    code: 'replica-differs',
    message: `The replica runs another version of the engine than its primary, and ${how}: it does not take over. Commands of the newer version were used; what they wrote is only on the primary.`,
  };
}

/** Of all its databases. */
async function keysOf(link: EngineLink): Promise<number> {
  return (await link.facts(SWITCH_VERB_MS)).keys;
}

/** Since its process started: a copy is made by a new process. */
async function unexpectedErrors(link: EngineLink): Promise<number> {
  const info = String(await link.command(['INFO', 'stats'], SWITCH_VERB_MS));
  return Number(/^unexpected_error_replies:(\d+)/m.exec(info)?.[1] ?? 0);
}
