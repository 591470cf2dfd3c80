/** The event of a command that is over, answered or failed: told once, and built only while somebody listens. */
import { performance } from 'node:perf_hooks';
import { KitError, messageOf } from '../errors.ts';
import type { Call } from '../lanes/call.ts';
import { type CommandEvent, commandChannel } from './channels.ts';

/** It failed in the kit, or its error reply is known now. */
export function tellFailed(call: Call, error: unknown): void {
  if (commandChannel.hasSubscribers) tellOver(call, performance.now(), error);
}

/** Somebody listens. Of what has not come the time is counted until now: the parts are the whole. */
export function tellOver(call: Call, now: number, error?: unknown): void {
  if (call.told) return;
  call.told = true;
  const { queuedAt, writtenAt, headAt, firstByteAt } = call;
  const event: CommandEvent = {
    command: call.name,
    key: call.key,
    endpoint: call.endpoint || (call.lane?.wires[0]?.endpoint ?? ''),
    lane: call.lane?.label ?? '',
    bytesOut: call.bytesOut,
    bytesIn: call.bytesIn,
    queueMs: (writtenAt > 0 ? writtenAt : now) - queuedAt,
    behindMs: writtenAt > 0 ? (headAt > 0 ? headAt : now) - writtenAt : 0,
    serverMs: headAt > 0 ? (firstByteAt > 0 ? firstByteAt : now) - headAt : 0,
    wireMs: firstByteAt > 0 ? now - firstByteAt : 0,
    totalMs: now - queuedAt,
    error,
  };
  commandChannel.publish(event);
}

/** What kind of failure it is, of few: the kit's code, the first word of a server's error, the error's own code or name. */
export function errorType(error: unknown): string {
  if (error instanceof KitError) return error.code;
  return serverCode(error) ?? ownCode(error) ?? (error instanceof Error ? error.name : '_OTHER');
}

/** `WRONGTYPE`, of an error that the server sent. */
export function serverCode(error: unknown): string | undefined {
  if (error instanceof KitError) return undefined;
  return /^[A-Z][A-Z0-9]*(?= )/.exec(messageOf(error))?.[0];
}

function ownCode(error: unknown): string | undefined {
  const code: unknown = Reflect.get(Object(error), 'code');
  return typeof code === 'string' ? code : undefined;
}
