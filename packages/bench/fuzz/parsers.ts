/**
 * Every parser of bytes or text from outside, with what it may do: answer, ask for more, or throw its
 * own named error. Anything else (another error, a different answer for the same bytes in other
 * pieces) is a finding. A new parser is added here, and is then fuzzed unasked.
 */
import assert from 'node:assert/strict';
import { parseForm, parseJson } from '../../control/api/json.ts';
import { parseTarget } from '../../control/api/path.ts';
import { ControlError } from '../../control/errors.ts';
import { FrameError, FrameReader } from '../../endpoint/frames.ts';
import { parseClients, parseInfo } from '../../engine/index.ts';
import { keySlot, ReplyParser, RespProtocolError } from '../../resp/index.ts';
import { splitInline } from '../../resp/inline.ts';
import { FULL_BOUNDS, RequestScanner, SCAN_BROKEN, SCAN_MORE } from '../../resp/scan-request.ts';
import { parseFigures } from '../benches/valkey-benchmark.ts';
import { ProtocolError, ReplyScanner } from '../load/reply-scanner.ts';
import { slotOf } from '../load/slots.ts';

export interface Fuzzed {
  readonly name: string;
  /** What most inputs look like: wholly random bytes rarely get past the first of them. */
  readonly grammar: 'replies' | 'requests' | 'frames' | 'text' | 'json';
  /** Answers something comparable. `pieces` are the bytes, cut somewhere. */
  run(pieces: readonly Buffer[]): unknown;
  /** Errors it may throw by contract. */
  readonly throws: readonly (abstract new (
    ...args: never[]
  ) => Error)[];
  /** The same answer however the bytes are cut. */
  readonly streams: boolean;
}

export const PARSERS: readonly Fuzzed[] = [
  {
    name: 'replies of an engine',
    grammar: 'replies',
    streams: true,
    throws: [RespProtocolError],
    run: (pieces) => {
      const seen: unknown[] = [];
      const parser = new ReplyParser({ onReply: (r) => seen.push(r), onPush: (p) => seen.push(p) });
      for (const piece of pieces) parser.push(piece);
      return seen;
    },
  },
  {
    name: 'requests of a client',
    grammar: 'requests',
    streams: true,
    throws: [],
    run: (pieces) => scanRequests(pieces),
  },
  {
    name: 'inline requests',
    grammar: 'requests',
    streams: false,
    throws: [],
    run: (pieces) => splitInline(Buffer.concat(pieces)),
  },
  {
    name: 'frames between control and endpoint',
    grammar: 'frames',
    streams: true,
    throws: [FrameError],
    run: (pieces) => {
      const reader = new FrameReader();
      return pieces.flatMap((piece) => reader.push(piece));
    },
  },
  {
    name: 'replies in the load generator',
    grammar: 'replies',
    streams: true,
    throws: [ProtocolError],
    run: (pieces) => {
      const ends: unknown[] = [];
      let base = 0;
      const scanner = new ReplyScanner((end) => ends.push(base + end));
      for (const piece of pieces) {
        scanner.feed(piece);
        base += piece.length;
      }
      return ends;
    },
  },
  {
    name: 'key slots, two ways',
    grammar: 'text',
    streams: false,
    throws: [],
    run: (pieces) => {
      const key = Buffer.concat(pieces);
      assert.equal(keySlot(key), slotOf(key));
      return keySlot(key);
    },
  },
  {
    name: 'INFO and CLIENT LIST',
    grammar: 'text',
    streams: false,
    throws: [],
    run: (pieces) => {
      const text = Buffer.concat(pieces).toString('latin1');
      return [[...parseInfo(text)], parseClients(text)];
    },
  },
  {
    name: 'bodies of the management API',
    grammar: 'json',
    streams: false,
    throws: [ControlError],
    run: (pieces) => parseJson(Buffer.concat(pieces), 'application/json'),
  },
  {
    name: 'paths and forms of the management API',
    grammar: 'text',
    streams: false,
    throws: [],
    run: (pieces) => [
      parseTarget(Buffer.concat(pieces).toString('latin1')),
      [...parseForm(Buffer.concat(pieces))],
    ],
  },
  {
    name: 'figures of valkey-benchmark',
    grammar: 'text',
    streams: false,
    throws: [],
    run: (pieces) => parseFigures(Buffer.concat(pieces).toString('latin1')),
  },
];

/** As a session does: what is not a whole request yet stays, and is given back with more behind it. */
function scanRequests(pieces: readonly Buffer[]): unknown[] {
  const scanner = new RequestScanner();
  const seen: unknown[] = [];
  let kept: Buffer = Buffer.alloc(0);
  for (const piece of pieces) {
    kept = Buffer.concat([kept, piece]);
    let at = 0;
    for (;;) {
      const result = scanner.scan(kept, at, kept.length, FULL_BOUNDS);
      if (result === SCAN_MORE) break;
      if (result === SCAN_BROKEN) return [...seen, scanner.problem];
      assert.ok(scanner.end > at && scanner.end <= kept.length, 'it moves, and stays inside');
      seen.push([result, kept.toString('latin1', at, scanner.end), scanner.count]);
      at = scanner.end;
    }
    kept = kept.subarray(at);
    scanner.reset();
  }
  return seen;
}
