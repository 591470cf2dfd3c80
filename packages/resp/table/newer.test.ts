/** Options of a newer engine: found where they are options, and not where data is the same word. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ArgumentSpec, fits, readArgumentSpecs } from './arguments.ts';
import { newerOption, newerOptions } from './newer.ts';

const key: ArgumentSpec = { type: 'key' };
const value: ArgumentSpec = { type: 'string' };
const word = (token: string, type = 'pure-token'): ArgumentSpec => ({ type, token });
const optional = (spec: ArgumentSpec): ArgumentSpec => ({ ...spec, optional: true });
const oneof = (...choices: ArgumentSpec[]): ArgumentSpec => ({ type: 'oneof', arguments: choices });
const block = (...parts: ArgumentSpec[]): ArgumentSpec => ({ type: 'block', arguments: parts });

const expiry = optional(oneof(word('EX', 'integer'), word('KEEPTTL')));
const SET_OLD = [
  key,
  value,
  optional(oneof(word('NX'), word('XX'))),
  optional(word('GET')),
  expiry,
];
const SET_NEW = [
  key,
  value,
  optional(oneof(word('NX'), word('XX'), word('IFEQ', 'string'))),
  optional(word('GET')),
  expiry,
];
const from = optional(oneof(word('FROMMEMBER', 'string'), word('FROMKEY', 'string')));
const circle = block(word('BYRADIUS', 'double'), oneof(word('M'), word('KM')));
const vertex = { ...block({ type: 'double' }, { type: 'double' }), multiple: true } as const;
const SEARCH_OLD = [key, from, oneof(circle), optional(word('ASC'))];
const SEARCH_NEW = [
  key,
  from,
  oneof(circle, block(word('BYPOLYGON', 'integer'), vertex)),
  optional(word('ASC')),
];

const [set, search] = newerOptions(
  { set: SET_OLD, search: SEARCH_OLD, same: [key], gone: [key] },
  { set: SET_NEW, search: SEARCH_NEW, same: [key], fresh: [word('ANY')] },
);

const found = (of: typeof set, line: string): string | null => {
  assert.ok(of !== undefined);
  return newerOption(of, line.split(' '), (at) => at === 0);
};

test('the difference of two documents: options of commands that both know', () => {
  assert.deepEqual([set?.command, set?.tokens], ['set', ['IFEQ']]);
  assert.deepEqual([search?.command, search?.tokens], ['search', ['BYPOLYGON']]);
});

test('an option is found, in any case and place', () => {
  for (const line of [
    'k v IFEQ x',
    'k v ifeq x GET',
    'k v EX 10 IfEq x',
    'k IFEQ IFEQ x',
    'k v IFEQ',
  ])
    assert.equal(found(set, line), 'IFEQ', line);
  for (const line of ['k BYPOLYGON 3 1 1 2 2 3 3', 'k FROMMEMBER bypolygon BYPOLYGON 1 1 1 ASC'])
    assert.equal(found(search, line), 'BYPOLYGON', line);
});

test('data that is the same word is none', () => {
  for (const line of ['k IFEQ', 'IFEQ v', 'IFEQ IFEQ', 'k ifeq EX 10 NX', 'k IFEQ KEEPTTL GET'])
    assert.equal(found(set, line), null, line);
  for (const line of [
    'k FROMMEMBER BYPOLYGON BYRADIUS 1 m',
    'k BYRADIUS 1 m FROMMEMBER bypolygon',
    'bypolygon BYRADIUS 1.5 km ASC FROMKEY BYPOLYGON',
  ])
    assert.equal(found(search, line), null, line);
});

test('many values, values with a word each, numbers and empty words', () => {
  const pair = { ...block({ type: 'double' }, value), multiple: true } as const;
  assert.equal(fits([key, pair], 'k 1 a -inf b'.split(' ')), true);
  assert.equal(fits([key, pair], 'k 1 a x b'.split(' ')), false);
  assert.equal(fits([key, pair], 'k 1 a 2'.split(' ')), false);
  const ids: ArgumentSpec = { ...word('ID', 'integer'), multiple: true };
  assert.equal(fits([ids], 'ID 1 2 3'.split(' ')), true);
  assert.equal(fits([{ ...ids, multipleToken: true }], 'ID 1 ID 2'.split(' ')), true);
  assert.equal(fits([oneof(key, word('""'))], ['']), true);
  // Each word can be read in many ways: still quick.
  const many = Array.from({ length: 20 }, () => optional({ ...value, multiple: true }));
  assert.equal(fits([...many, word('END')], [...Array(2_000).fill('x'), 'no']), true);
});

test('read from the reply of an engine, in either form', () => {
  const docs = [
    'set',
    [
      'summary',
      'x',
      'arguments',
      [
        ['name', 'key', 'type', 'key'],
        ['type', 'pure-token', 'token', 'nx', 'flags', ['optional']],
      ],
    ],
    'config',
    ['subcommands', ['config|get', ['arguments', [['type', 'string', 'flags', ['multiple']]]]]],
    'ping',
    ['summary', 'x'],
  ];
  assert.deepEqual(readArgumentSpecs(docs), {
    set: [{ type: 'key' }, { type: 'pure-token', token: 'NX', optional: true }],
    'config|get': [{ type: 'string', multiple: true }],
  });
});
