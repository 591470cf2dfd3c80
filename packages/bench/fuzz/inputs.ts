/** Inputs that get past the first byte: valid pieces of each grammar, glued, broken and cut. */
import fc from 'fast-check';
import type { Fuzzed } from './parsers.ts';

const noise = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));

const PIECES: Readonly<Record<Fuzzed['grammar'], readonly string[]>> = {
  replies: [
    ...[
      '+OK\r\n',
      '-ERR x\r\n',
      ':1\r\n',
      ':-9223372036854775808\r\n',
      '$3\r\nabc\r\n',
      '$0\r\n\r\n',
    ],
    ...[
      '$-1\r\n',
      '*-1\r\n',
      '*0\r\n',
      '*2\r\n',
      '%1\r\n',
      '~2\r\n',
      '>2\r\n',
      '|1\r\n',
      '_\r\n',
      '#t\r\n',
    ],
    ...[
      ',1.5\r\n',
      ',inf\r\n',
      '(12345678901234567890\r\n',
      '=7\r\ntxt:abc\r\n',
      '!5\r\nERR x\r\n',
    ],
    ...['$1000000000000\r\n', '*1000000\r\n', '$-2\r\n', '\r\n', '\r', '\n', '*', '$', '%-1\r\n'],
  ],
  requests: [
    ...['*1\r\n$4\r\nPING\r\n', '*2\r\n$3\r\nGET\r\n$1\r\nk\r\n', '*3\r\n$3\r\nSET\r\n$1\r\nk\r\n'],
    ...['PING\r\n', 'GET "a b"\r\n', "SET k 'x'\r\n", '\r\n', '*0\r\n', '*-1\r\n', '*1\r\n$-1\r\n'],
    ...[
      '*1\r\n$0\r\n\r\n',
      '*1048577\r\n',
      '*1\r\n$536870913\r\n',
      '*1\r\n',
      '$4\r\n',
      '"',
      "'",
      '\\x0',
    ],
  ],
  frames: [
    '\0\0\0\u0002{}',
    '\0\0\0\u000c{"type":"x"}',
    '\0\0\0\0',
    '\u00ff\u00ff\u00ff\u00ff',
    '{',
    '"type"',
  ],
  text: [
    ...[
      'a:1\r\n',
      '# Server\r\n',
      'cluster_state:ok',
      'id=1 addr=127.0.0.1:1 name=x user=default\n',
      '=',
    ],
    ...[
      '{',
      '}',
      '{}',
      '{a}',
      '/subscriptions/',
      '?api-version=',
      '%',
      '%zz',
      '&',
      '..',
      '"EVAL","1.0"\n',
    ],
  ],
  tables: [
    ...['07c37dfeb235213a872192d90877d0cd55635b91 ', '127.0.0.1:30004@31004,host ', 'slave '],
    ...['myself,master ', '- 0 1426238317239 4 connected ', '0-5460 ', '[93->-07c3] ', '5461\n'],
    ...['vars currentEpoch 6 lastVoteEpoch 0\n', 'cluster_current_epoch:6\r\n', 'fail?,slave '],
    ...['4711 (valkey-server) S 1 4711 4711 0 -1 4194560 ', '(a) b) c', '0A ', '  0: ', '\n'],
    ...['0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12345 1\n'],
    ...['MemTotal:       24684028 kB\n', 'MemAvailable: x kB\n', 'max\n', '0::/user.slice\n'],
    ...['Package: valkey-server\n', 'Depends: libc6 (>= 2.38), a | b\n', ' continued\n', '\n\n'],
    ...[
      'deb [signed-by=/x] http://deb.debian.org/debian trixie main\n',
      'URIs: http://a http://b\n',
    ],
  ],
  documents: [
    ...['*2\r\n$3\r\nset\r\n', '*2\r\n$9\r\narguments\r\n', '$11\r\nsubcommands\r\n'],
    ...['*1\r\n', '*2\r\n', '*4\r\n', '*6\r\n', '%1\r\n', '%2\r\n', '~1\r\n', '*0\r\n', '_\r\n'],
    ...[
      '$4\r\nname\r\n',
      '$3\r\nkey\r\n',
      '$4\r\ntype\r\n',
      '$6\r\nstring\r\n',
      '$7\r\ninteger\r\n',
    ],
    ...['$10\r\npure-token\r\n', '$5\r\nblock\r\n', '$5\r\noneof\r\n', '$6\r\ndouble\r\n'],
    ...['$5\r\ntoken\r\n', '$2\r\nEX\r\n', '$2\r\nNX\r\n', '$2\r\n""\r\n', '$5\r\nflags\r\n'],
    ...['*1\r\n+optional\r\n', '*2\r\n+multiple\r\n+multiple_token\r\n', ':1\r\n', '$0\r\n\r\n'],
  ],
  json: [
    '{',
    '}',
    '[',
    ']',
    '"a"',
    ':',
    ',',
    '1',
    '1e999',
    'null',
    '"\\ud800"',
    '{"a":{"a":',
    '-',
    '[[',
  ],
};

/** A small generator of numbers: what counts in the long form is how many inputs fit into a second. */
export class Draw {
  private state: number;

  constructor(seed: number) {
    this.state = seed | 1;
  }

  /** 0 to `limit` - 1. */
  below(limit: number): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return (x >>> 0) % limit;
  }
}

const BYTES: Readonly<Record<Fuzzed['grammar'], readonly Buffer[]>> = Object.fromEntries(
  Object.entries(PIECES).map(([grammar, pieces]) => [
    grammar,
    pieces.map((piece) => Buffer.from(piece, 'latin1')),
  ]),
) as unknown as Record<Fuzzed['grammar'], readonly Buffer[]>;
const MOST_PARTS = 12;
const MOST_NOISE = 12;

/** As `inputs`, by the million: pieces glued, now and then noise, a byte changed or the end cut off. */
export function drawInput(draw: Draw, grammar: Fuzzed['grammar']): Buffer {
  const pieces = BYTES[grammar];
  const parts: Buffer[] = [];
  for (let left = draw.below(MOST_PARTS); left > 0; left -= 1) {
    const piece = pieces[draw.below(pieces.length)];
    if (piece !== undefined && draw.below(7) > 0) parts.push(piece);
    else
      parts.push(
        Buffer.from(Array.from({ length: draw.below(MOST_NOISE) }, () => draw.below(256))),
      );
  }
  const bytes = Buffer.concat(parts);
  if (bytes.length > 0 && draw.below(3) === 0) bytes[draw.below(bytes.length)] = draw.below(256);
  return draw.below(4) === 0 ? bytes.subarray(0, draw.below(bytes.length + 1)) : bytes;
}

export function inputs(grammar: Fuzzed['grammar']): fc.Arbitrary<Buffer> {
  const valid = fc.constantFrom(...PIECES[grammar]).map((text) => Buffer.from(text, 'latin1'));
  return fc
    .array(fc.oneof({ weight: 6, arbitrary: valid }, { weight: 1, arbitrary: noise }), {
      maxLength: 12,
    })
    .map((parts) => Buffer.concat(parts));
}

/** Where to cut, as parts of the length. */
export const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 });

export function cut(bytes: Buffer, where: readonly number[]): Buffer[] {
  const at = [
    0,
    ...where.map((part) => Math.floor(part * bytes.length)).sort((a, b) => a - b),
    bytes.length,
  ];
  return at.slice(1).map((end, i) => bytes.subarray(at[i], end));
}
