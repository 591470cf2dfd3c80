/**
 * Every parser of bytes or text from outside, with what it may do: answer, ask for more, or throw its
 * own named error. Anything else (another error, a different answer for the same bytes in other
 * pieces) is a finding. A new parser is added here, and is then fuzzed unasked.
 */
import assert from 'node:assert/strict';
import { CliError } from '../../cli/errors.ts';
import { bytesOf, durationOf, jumpOf } from '../../cli/fault/units.ts';
import { KitError } from '../../client/errors.ts';
import { parseAddress } from '../../client/identity/address.ts';
import { ReplyScanner as KitScanner } from '../../client/wire/scanner.ts';
import { parseForm, parseJson } from '../../control/api/json.ts';
import { parseTarget } from '../../control/api/path.ts';
import { readMemory } from '../../control/catalog/machine.ts';
import { parseMiniature } from '../../control/catalog/miniature.ts';
import { FailpointError, parseFailpoint } from '../../control/databases/failpoints.ts';
import { ControlError } from '../../control/errors.ts';
import { parseListeners } from '../../control/resources/ports.ts';
import { FrameError, FrameReader } from '../../endpoint/frames.ts';
import { endOfReply, splitArray } from '../../endpoint/proxy/raw-reply.ts';
import { clusterFacts, parseNodes } from '../../engine/facts.ts';
import { EngineError, parseClients, parseInfo } from '../../engine/index.ts';
import { epochOf } from '../../engine/nodes-conf.ts';
import { parseStat } from '../../engine/procfs.ts';
import { parseStanzas } from '../../engine/provision/apt.ts';
import { mirrorsIn } from '../../engine/provision/host.ts';
import { quote } from '../../engine/quote.ts';
import { keySlot, parseReplies, ReplyParser, RespProtocolError } from '../../resp/index.ts';
import { splitInline } from '../../resp/inline.ts';
import { ReplyScanner as EndpointReplies } from '../../resp/scan-reply.ts';
import { FULL_BOUNDS, RequestScanner, SCAN_BROKEN, SCAN_MORE } from '../../resp/scan-request.ts';
import { fits, readArgumentSpecs, tokensOf } from '../../resp/table/arguments.ts';
import { readCommandSpecs } from '../../resp/table/spec.ts';
import { parseFigures } from '../benches/valkey-benchmark.ts';
import { ProtocolError, ReplyScanner } from '../load/reply-scanner.ts';
import { slotOf } from '../load/slots.ts';

export interface Fuzzed {
  readonly name: string;
  /** What most inputs look like: wholly random bytes rarely get past the first of them. */
  readonly grammar: 'replies' | 'requests' | 'frames' | 'text' | 'json' | 'tables' | 'documents';
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
  {
    name: 'replies in the endpoint',
    grammar: 'replies',
    streams: true,
    throws: [],
    run: (pieces) => scanReplies(pieces),
  },
  {
    name: 'replies in the client kit',
    grammar: 'replies',
    streams: true,
    throws: [],
    run: (pieces) => {
      const seen: number[] = [];
      const scanner = new KitScanner({
        reply: (bytes) => seen.push(bytes),
        announced: () => undefined,
      });
      for (const piece of pieces) scanner.feed(piece);
      return [seen, scanner.lost];
    },
  },
  {
    name: 'raw replies that the endpoint takes apart',
    grammar: 'replies',
    streams: false,
    throws: [],
    run: (pieces) => {
      const bytes = Buffer.concat(pieces);
      // Only whole replies come here: the scanner has seen their ends.
      const scanner = new EndpointReplies();
      const end = scanner.scan(bytes, 0, bytes.length);
      if (!scanner.done || scanner.broken) return null;
      assert.equal(endOfReply(bytes, 0, end), end);
      return bytes[0] === ARRAY ? splitArray(bytes.subarray(0, end)).length : 0;
    },
  },
  {
    name: 'the command table of an engine',
    grammar: 'replies',
    streams: false,
    throws: [RespProtocolError, TypeError],
    run: (pieces) => parseReplies(Buffer.concat(pieces)).map(readCommandSpecs),
  },
  {
    name: 'documents of commands, and arguments read by them',
    grammar: 'documents',
    streams: false,
    throws: [RespProtocolError, TypeError],
    run: (pieces) => {
      const bytes = Buffer.concat(pieces);
      const given = bytes.toString('latin1', 0, 200).split(/[\r\n ]+/);
      return parseReplies(bytes).map((reply) => {
        const specs = readArgumentSpecs(reply);
        return [
          specs,
          Object.values(specs).map((each) => [[...tokensOf(each)], fits(each, given)]),
        ];
      });
    },
  },
  {
    name: 'CLUSTER NODES, CLUSTER INFO and nodes.conf',
    grammar: 'tables',
    streams: false,
    throws: [EngineError],
    run: (pieces) => {
      const text = Buffer.concat(pieces).toString('latin1');
      return [parseNodes(text), clusterFacts(text, text), epochOf(text)];
    },
  },
  {
    name: '/proc: stat, tcp, meminfo, cgroup',
    grammar: 'tables',
    streams: false,
    throws: [],
    run: (pieces) => {
      const text = Buffer.concat(pieces).toString('latin1');
      const memory = readMemory(() => text);
      assert.ok(memory.totalBytes >= 0 || Number.isNaN(memory.totalBytes) === false);
      return [parseStat(text), parseListeners(text)];
    },
  },
  {
    name: 'output and sources of apt',
    grammar: 'tables',
    streams: false,
    throws: [],
    run: (pieces) => {
      const text = Buffer.concat(pieces).toString('latin1');
      return [parseStanzas(text), mirrorsIn(text)];
    },
  },
  {
    name: 'values in configuration files, there and back',
    grammar: 'text',
    streams: false,
    throws: [],
    run: (pieces) => {
      const value = Buffer.concat(pieces).toString('utf8').replaceAll('\0', '');
      const read = splitInline(Buffer.from(`name ${quote(value)}`));
      assert.deepEqual(read?.map(String), ['name', value]);
      return null;
    },
  },
  {
    name: 'addresses of caches',
    grammar: 'text',
    streams: false,
    throws: [KitError],
    run: (pieces) => {
      const text = Buffer.concat(pieces).toString('latin1');
      return [
        parseAddress(`rediss://${text}@localhost:1`),
        attempt(() => parseAddress(text), KitError),
      ];
    },
  },
  {
    name: 'words of the command line and the environment',
    grammar: 'text',
    streams: false,
    throws: [CliError],
    run: (pieces) => {
      const text = Buffer.concat(pieces).toString('latin1');
      return [
        attempt(() => parseFailpoint(text), FailpointError),
        attempt(() => parseMiniature(text), Error),
        attempt(() => durationOf('--for', text), CliError),
        attempt(() => bytesOf('--rate', text), CliError),
        attempt(() => jumpOf('--jump', text), CliError),
      ];
    },
  },
];

const ARRAY = 42;

function attempt(work: () => unknown, allowed: abstract new (...args: never[]) => Error): unknown {
  try {
    return work();
  } catch (error) {
    if (error instanceof allowed) return error.name;
    throw error;
  }
}

/** As a lane does: what was not consumed is given again with what follows. */
function scanReplies(pieces: readonly Buffer[]): unknown[] {
  const scanner = new EndpointReplies();
  const ends: unknown[] = [];
  let kept: Buffer = Buffer.alloc(0);
  let consumed = 0;
  for (const piece of pieces) {
    kept = Buffer.concat([kept, piece]);
    let at = 0;
    while (at < kept.length) {
      const next = scanner.scan(kept, at, kept.length);
      if (scanner.broken) return [...ends, 'broken'];
      assert.ok(next >= at && next <= kept.length, 'it stays inside');
      at = next;
      if (!scanner.done) break;
      ends.push(consumed + at);
    }
    consumed += at;
    kept = kept.subarray(at);
  }
  return ends;
}

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
