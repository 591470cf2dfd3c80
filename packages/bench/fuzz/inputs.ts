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
