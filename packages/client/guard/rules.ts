/**
 * Commands that hurt, and what to use instead. A rule looks at a command's name and arguments only:
 * it costs one map look-up for a command that no rule knows.
 */
import { factsOf, keysOf, keyText } from '../commands/keys.ts';
import { GUARD_ARGUMENTS, GUARD_KEY_BYTES, GUARD_RANGE, GUARD_VALUE_BYTES } from '../limits.ts';

export const guardRules = [
  'walks-all-keys',
  'blocks-the-server',
  'unbounded-range',
  'whole-collection',
  'many-arguments',
  'long-key',
  'large-value',
  'script-text',
  'debug-command',
] as const;

export type GuardRule = (typeof guardRules)[number];

export interface GuardLimits {
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly arguments: number;
  readonly range: number;
}

export const defaultLimits: GuardLimits = {
  keyBytes: GUARD_KEY_BYTES,
  valueBytes: GUARD_VALUE_BYTES,
  arguments: GUARD_ARGUMENTS,
  range: GUARD_RANGE,
};

export interface GuardFinding {
  readonly rule: GuardRule;
  readonly command: string;
  readonly key: string | undefined;
  /** What is wrong with it. */
  readonly problem: string;
  /** What to use instead. */
  readonly suggestion: string;
}

type Found = readonly [rule: GuardRule, problem: string, suggestion: string];
type Check = (args: readonly string[], limits: GuardLimits) => Found | undefined;

const scan: Found = [
  'walks-all-keys',
  'looks at every key while everybody else waits',
  'SCAN with MATCH and COUNT (scanStream(), scanIterator()), or keep the keys in a set of your own',
];

const checks = new Map<string, Check>([
  ['keys', () => scan],
  ['flushall', flush],
  ['flushdb', flush],
  ['save', () => ['blocks-the-server', 'stops the server while it writes all data', 'BGSAVE']],
  [
    'monitor',
    () => [
      'debug-command',
      'sends every command of every client to this one',
      'SLOWLOG, COMMANDLOG or the events of this kit',
    ],
  ],
  [
    'debug',
    () => ['debug-command', 'is for developers of the server', 'MEMORY USAGE, OBJECT ENCODING'],
  ],
  ['sort', sort],
  ['sort_ro', sort],
  ['lrange', range],
  ['zrange', (args, limits) => (hasWord(args, 'BYSCORE') ? byScore(args) : range(args, limits))],
  ['zrevrange', range],
  ['zrangebyscore', byScore],
  ['zrevrangebyscore', byScore],
  ['zrangebylex', byLex],
  ['zrevrangebylex', byLex],
  ['xrange', wholeStream],
  ['xrevrange', wholeStream],
  ['xread', restOfStream],
  ['xreadgroup', restOfStream],
  ['hgetall', whole('HSCAN, or HMGET of the fields that are needed')],
  ['hvals', whole('HSCAN, or HMGET of the fields that are needed')],
  ['hkeys', whole('HSCAN, or HEXISTS')],
  ['smembers', whole('SSCAN, or SISMEMBER, SMISMEMBER')],
  ['sunion', whole('SUNIONSTORE and SSCAN')],
  ['sdiff', whole('SDIFFSTORE and SSCAN')],
  ['sinter', whole('SINTERCARD with LIMIT, or SINTERSTORE and SSCAN')],
  [
    'eval',
    (args) =>
      (args[0]?.length ?? 0) > 4_096
        ? [
            'script-text',
            `sends ${args[0]?.length} characters of script each time`,
            'EVALSHA, FCALL, or defineCommand() / scripts of your client',
          ]
        : undefined,
  ],
]);

/** What is wrong with a command, if anything. `from`: where its arguments begin in `args`. */
export function inspect(
  name: string,
  args: readonly unknown[],
  from: number,
  limits: GuardLimits,
): GuardFinding | undefined {
  const check = checks.get(name);
  const found =
    (check === undefined ? undefined : check(args.slice(from).map(text), limits)) ??
    sizes(name, args, from, limits);
  if (found === undefined) return undefined;
  const [rule, problem, suggestion] = found;
  const key = keysOf(factsOf(name), args, from)[0];
  return { rule, command: name.toUpperCase(), key, problem, suggestion };
}

function sizes(
  name: string,
  args: readonly unknown[],
  from: number,
  limits: GuardLimits,
): Found | undefined {
  if (args.length - from > limits.arguments) {
    return [
      'many-arguments',
      `has ${args.length - from} arguments, and runs in one piece`,
      'several commands of some hundred arguments each (batch())',
    ];
  }
  const facts = factsOf(name);
  for (const key of facts.keys === 'one' ? args.slice(from, from + 1) : keysOf(facts, args, from)) {
    const bytes = lengthOf(key);
    if (bytes <= limits.keyBytes) continue;
    return [
      'long-key',
      `has a key of ${bytes} bytes, sent and compared each time`,
      'a digest of what the key says',
    ];
  }
  if (facts.read) return undefined;
  for (let i = from + 1; i < args.length; i += 1) {
    const length = lengthOf(args[i]);
    if (length > limits.valueBytes) {
      return [
        'large-value',
        `carries ${length} bytes in one value: its reader makes everybody behind it wait`,
        'chunked(redis).set(), or compression',
      ];
    }
  }
  return undefined;
}

function flush(args: readonly string[]): Found | undefined {
  if (hasWord(args, 'ASYNC')) return undefined;
  return [
    'blocks-the-server',
    'frees every value while everybody else waits',
    'the same with ASYNC',
  ];
}

function range(args: readonly string[], limits: GuardLimits): Found | undefined {
  if (hasWord(args, 'LIMIT') || hasWord(args, 'BYSCORE') || hasWord(args, 'BYLEX'))
    return undefined;
  const start = Number(args[1]);
  const end = Number(args[2]);
  // From one end nearly to the other: how much that is the list knows.
  const all = start >= 0 && end < 0;
  if (!all && !(start < 0 === end < 0 && end - start >= limits.range)) return undefined;
  return [
    'unbounded-range',
    all
      ? 'returns all there is, whatever that is by then'
      : `returns up to ${end - start + 1} elements`,
    'pages of some hundred elements',
  ];
}

function byScore(args: readonly string[]): Found | undefined {
  const all = [args[1], args[2]].sort().join() === '+inf,-inf';
  return all && !hasWord(args, 'LIMIT')
    ? ['unbounded-range', 'returns the whole set', 'LIMIT, or scores between bounds']
    : undefined;
}

function byLex(args: readonly string[]): Found | undefined {
  const all = [args[1], args[2]].sort().join() === '+,-';
  return all && !hasWord(args, 'LIMIT')
    ? ['unbounded-range', 'returns the whole set', 'LIMIT, or members between bounds']
    : undefined;
}

function sort(args: readonly string[]): Found | undefined {
  if (hasWord(args, 'LIMIT') || hasWord(args, 'STORE')) return undefined;
  return [
    'unbounded-range',
    'sorts and returns the whole collection',
    'SORT ... LIMIT, or a sorted set',
  ];
}

function wholeStream(args: readonly string[]): Found | undefined {
  const all = [args[1], args[2]].sort().join() === '+,-';
  return all && !hasWord(args, 'COUNT')
    ? ['unbounded-range', 'returns the whole stream', 'COUNT, from the last id on']
    : undefined;
}

/** One that blocks waits for what is new, mostly. */
function restOfStream(args: readonly string[]): Found | undefined {
  if (hasWord(args, 'COUNT') || hasWord(args, 'BLOCK')) return undefined;
  return ['unbounded-range', 'returns all that came since', 'COUNT'];
}

/** Right for what is known to be small: said, and never refused. */
function whole(suggestion: string): Check {
  return () => ['whole-collection', 'returns all of it, however large it has become', suggestion];
}

function hasWord(args: readonly string[], word: string): boolean {
  return args.some((arg) => arg.length === word.length && arg.toUpperCase() === word);
}

function text(value: unknown): string {
  return value instanceof Uint8Array ? keyText(value) : String(value);
}

/** Bytes as they are sent. */
function lengthOf(value: unknown): number {
  if (typeof value !== 'string') return value instanceof Uint8Array ? value.length : 8;
  // A key that is no text; see keyText.
  return value.startsWith('\0') ? value.length - 1 : Buffer.byteLength(value);
}
