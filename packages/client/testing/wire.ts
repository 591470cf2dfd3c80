/** A wire under test: what was asked on it, what the server answers, and in what pieces it comes. */
import type { Sent, Wire } from '../wire/wire.ts';

/** A command that was just written; `into`: where its reply is wanted. */
export function sent(into?: Sent['into']): Sent {
  const times = { queuedAt: 0, writtenAt: 0, headAt: 0, firstByteAt: 0 };
  return {
    name: 'get',
    key: 'k',
    bytesOut: 1,
    bytesIn: 0,
    announced: 0,
    endpoint: '',
    ...times,
    into,
  };
}

/** A string as it stands on the wire. */
export function text(payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`$${payload.length}\r\n`), payload, Buffer.from('\r\n')]);
}

/** Gives `stream` to the wire, cut into pieces of these sizes in turn; answers what the library heard. */
export function receivedInPieces(
  wire: Wire<Sent>,
  stream: Buffer,
  sizes: readonly number[],
): Buffer[] {
  const heard: Buffer[] = [];
  for (let at = 0, i = 0; at < stream.length; i += 1) {
    const step = sizes[i % sizes.length] as number;
    const chunk = Buffer.from(stream.subarray(at, at + step));
    wire.received(chunk, (piece) => heard.push(Buffer.from(piece)));
    // The socket may use its memory again: nothing may be kept.
    chunk.fill(0x21);
    at += step;
  }
  return heard;
}
