/**
 * Sessions that wait and are not to be found in an engine: in a WAIT, or in a blocking command between an engine that
 * gave it back and the next. CLIENT UNBLOCK ends their wait here.
 */
import type { Session } from './session.ts';

/** Each with what ends it: for a WAIT at the end of the round, which makes its time over. */
export const waiting = new WeakMap<Session, (how: string) => void>();

/** In the engine's words. */
export const UNBLOCKED = Buffer.from('-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n');
