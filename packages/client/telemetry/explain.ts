/**
 * Why a command is late, from the state of its connection at this moment.
 *
 * What is known without asking the server: when the command was asked for, written, came to the head
 * of its connection (everything before it answered), and saw its first byte; and what stands before
 * it, with the size of the reply that is arriving. So the time falls into four parts: in this
 * process's queue, behind others on the connection, at the server (head of the line, no byte yet;
 * one round trip is in it), on the wire (its reply is arriving).
 */
import type { FrontCommand, Lateness } from '../errors.ts';
import { EXPLAIN_FRONT, KEY_SHOWN_CHARS, LARGE_BYTES } from '../limits.ts';
import type { Sent, Wire } from '../wire/wire.ts';

/** `ownWaitMs`: for so long the command itself tells the server to wait before it answers. */
export function lateness(
  call: Sent,
  wire: Wire<Sent> | undefined,
  now: number,
  ownWaitMs = 0,
): Lateness {
  const position = wire === undefined || call.writtenAt === 0 ? -1 : positionOf(call, wire);
  const written = call.writtenAt > 0;
  const front: FrontCommand[] = [];
  if (wire !== undefined) {
    const count = Math.max(0, position);
    for (let i = 0; i < Math.min(count, EXPLAIN_FRONT); i += 1) {
      const item = wire.at(i);
      if (item !== undefined) front.push(describe(item, i === 0 ? wire.partial : 0));
    }
  }
  const headAt = call.headAt > 0 ? call.headAt : now;
  const firstByteAt = call.firstByteAt > 0 ? call.firstByteAt : now;
  const behindMs = written ? headAt - call.writtenAt : 0;
  const serverMs = call.headAt > 0 ? firstByteAt - headAt : 0;
  const wireMs = call.firstByteAt > 0 ? now - call.firstByteAt : 0;
  const queueMs = (written ? call.writtenAt : now) - call.queuedAt;
  const part = causeOf(wire, written, front.length > 0, serverMs, wireMs);
  const cause = part === 'server' && serverMs < ownWaitMs ? 'own-wait' : part;
  return {
    command: call.name.toUpperCase(),
    key: shown(call.key),
    waitedMs: now - call.queuedAt,
    queueMs,
    behindMs,
    serverMs,
    wireMs,
    inFront: front,
    inFrontCount: Math.max(0, position),
    cause,
    remedy: remedyFor(cause, front, call, now - call.queuedAt, unansweredMs(wire, now)),
  };
}

/** How long the head of the connection has waited for a first byte; 0: some came. */
function unansweredMs(wire: Wire<Sent> | undefined, now: number): number {
  const head = wire?.at(0);
  if (wire === undefined || head === undefined || wire.partial > 0 || head.headAt === 0) return 0;
  return now - head.headAt;
}

/** One sentence of what it was, for an error's message. */
export function sayLate(late: Lateness): string {
  const of = late.key === undefined ? late.command : `${late.command} ${late.key}`;
  const parts = [
    `${ms(late.queueMs)} in the client's queue`,
    `${ms(late.behindMs)} behind other commands of its connection`,
    `${ms(late.serverMs)} at the server`,
    `${ms(late.wireMs)} receiving`,
  ];
  let text = `${of}: no complete reply after ${ms(late.waitedMs)} (${parts.join(', ')}). `;
  const first = late.inFront[0];
  if (first !== undefined) {
    text += `In front of it: ${late.inFront.map(sayFront).join('; ')}`;
    const more = late.inFrontCount - late.inFront.length;
    text += more > 0 ? `; and ${more} more. ` : '. ';
  }
  return text + late.remedy;
}

function sayFront(front: FrontCommand): string {
  const of = front.key === undefined ? front.command : `${front.command} ${front.key}`;
  if (front.announced !== undefined) {
    return `${of} (${size(front.bytesIn)} of a ${size(front.announced)} reply received)`;
  }
  return front.bytesOut >= LARGE_BYTES ? `${of} (a request of ${size(front.bytesOut)})` : of;
}

function positionOf(call: Sent, wire: Wire<Sent>): number {
  for (let i = 0; i < wire.pending; i += 1) if (wire.at(i) === call) return i;
  return -1;
}

function describe(item: Sent, partial: number): FrontCommand {
  return {
    command: item.name.toUpperCase(),
    key: shown(item.key),
    bytesOut: item.bytesOut,
    bytesIn: partial,
    announced: item.announced > 0 ? item.announced : undefined,
  };
}

function causeOf(
  wire: Wire<Sent> | undefined,
  written: boolean,
  behind: boolean,
  serverMs: number,
  wireMs: number,
): Lateness['cause'] {
  if (wire === undefined) return 'not-connected';
  if (!written) return 'not-written';
  if (behind) return 'behind-others';
  return wireMs > serverMs ? 'transfer' : 'server';
}

function remedyFor(
  cause: Lateness['cause'],
  front: readonly FrontCommand[],
  call: Sent,
  waitedMs: number,
  silentMs: number,
): string {
  switch (cause) {
    case 'behind-others': {
      const large = front.find((f) => (f.announced ?? f.bytesOut) >= LARGE_BYTES);
      // What is in front was no quicker: for most of this time the server has said nothing to either.
      if (large === undefined && silentMs * 2 >= waitedMs) {
        return (
          `Nothing came of what is in front either, for ${ms(silentMs)}: the server is busy (SLOWLOG GET, COMMANDLOG), ` +
          'stopped, or cut off. Another connection helps only where that command is slow by itself.'
        );
      }
      return large === undefined
        ? 'A connection answers in order: give slow commands another one (lanes()), or fewer of them at a time.'
        : 'A connection answers in order, so a large value holds up everything behind it: ' +
            'give it another connection (lanes()) or split it (chunked()).';
    }
    case 'transfer':
      return 'The server had answered; the network or this process was too slow for the size of the reply: use chunked(), or a longer deadline for large values.';
    case 'server':
      return `The server did not answer: it is busy with a slow command (SLOWLOG GET, COMMANDLOG), stopped, or cut off${
        call.announced > 0 ? ' in the middle of the reply' : ''
      }.`;
    case 'own-wait':
      return 'It is a command that waits at the server, and its own time was not over: give it a longer deadline, or a shorter time of its own.';
    case 'not-connected':
      return 'There was no connection to the server; diagnose(url) says why.';
    case 'not-written':
      return 'It was never written: this process or its network is too busy to send.';
  }
}

export function shown(key: string | undefined): string | undefined {
  if (key === undefined) return undefined;
  const clean = key.startsWith('\0') ? Buffer.from(key.slice(1), 'latin1').toString('hex') : key;
  return clean.length <= KEY_SHOWN_CHARS ? clean : `${clean.slice(0, KEY_SHOWN_CHARS)}...`;
}

export function size(bytes: number): string {
  if (bytes < 1_024) return `${bytes} B`;
  if (bytes < 1_048_576) return `${(bytes / 1_024).toFixed(1)} KB`;
  return `${(bytes / 1_048_576).toFixed(1)} MB`;
}

function ms(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}
