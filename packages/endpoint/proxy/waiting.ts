/** Sessions in a WAIT: for CLIENT UNBLOCK, which finds no connection of their own to end it on. */
import type { Session } from './session.ts';

/** Each with what makes its time over at the end of the round. */
export const waiting = new WeakMap<Session, (how: string) => void>();
