/** What the kit puts on a node-redis connection by itself, and what that tells of it. */
import type { Call } from '../lanes/call.ts';
import type { Sent, Wire } from '../wire/wire.ts';
import { encode, encodeAll } from './node-redis-encode.ts';
import type { ReconnectIn } from './node-redis-hold.ts';

/** A call as this connection sees it. */
export interface Outgoing extends Call {
  readonly typeMapping: unknown;
  readonly parts?: undefined;
  reply(reply: unknown): void;
  errorReply(error: Error): void;
}

/** Several that are written in one piece, or not at all; each is answered by itself. */
export interface OutgoingBatch {
  readonly parts: readonly Outgoing[];
  readonly settled: boolean;
  errorReply(error: Error): void;
}

export interface NodeLinkEvents {
  /** Before what stands behind it is answered. */
  refused?(sent: Sent): void;
  answered(sent: Sent, now: number): void;
  large(sent: Sent, wire: Wire<Sent>): void;
  readonly largeBytes: number;
  /** The connection is gone; called before `lost`. */
  down(cause: unknown): void;
  /** When to connect again after that, in ms; undefined: as the library does. */
  readonly reconnectIn?: ReconnectIn | undefined;
  /** Of a batch that was written, once for each of its parts that has no reply. */
  lost(item: Outgoing | OutgoingBatch, written: boolean, cause: unknown): void;
}

export function encodedOf(call: Outgoing | OutgoingBatch): string | Error | (string | Buffer)[] {
  return call.parts === undefined ? encode(call.args) : encodeAll(call.parts);
}

/**
 * A connection has ended. Of what the wire still waits for, `sent`, the kit's calls that have no part in what is
 * unanswered: the library's parser gives a reply out before its last byte, and the wire waits for that.
 */
export function answeredOf(
  sent: readonly Sent[],
  unanswered: readonly (Outgoing | undefined)[],
): Sent[] {
  const open = new Set<Sent | undefined>(unanswered);
  return sent.filter((one) => 'errorReply' in one && !open.has(one));
}
