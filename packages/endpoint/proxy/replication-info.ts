/** What an engine says of its replication. */
import { payload } from './raw-reply.ts';

export const INFO_REPLICATION = ['INFO', 'replication'];

/** null: it says nothing of it, or nothing at all. */
export function text(reply: Buffer | null, name: string): string | null {
  if (reply === null || reply[0] === 45) return null;
  const found = new RegExp(`^${name}:(.*)\\r$`, 'm').exec(payload(reply).toString('latin1'));
  return found?.[1] ?? null;
}

export function field(reply: Buffer | null, name: string): number | null {
  const found = text(reply, name);
  return found === null ? null : Number(found);
}
