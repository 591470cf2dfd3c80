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
  [
    'sort',
    (args) =>
      hasWord(args, 'LIMIT') || hasWord(args, 'STORE')
        ? undefined
        : [
            'unbounded-range',
            'sorts and returns the whole collection',
            'SORT ... LIMIT, or a sorted set',
          ],
  ],
  ['lrange', range],
  ['zrange', (args, limits) => (hasWord(args, 'BYSCORE') ? byScore(args) : range(args, limits))],
  ['zrevrange', range],
  ['zrangebyscore', byScore],
  ['zrevrangebyscore', byScore],
  [
    'xrange',
    (args) =>
      args[1] === '-' && args[2] === '+' && !hasWord(args, 'COUNT')
        ? ['unbounded-range', 'returns the whole stream', 'XRANGE ... COUNT, from the last id on']
        : undefined,
  ],
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
  const first = facts.keys === 'none' ? undefined : args[from];
  if (first !== undefined && lengthOf(first) > limits.keyBytes) {
    return [
      'long-key',
      `has a key of ${lengthOf(first)} bytes, sent and compared each time`,
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
  const all = start >= 0 && end === -1;
  if (!all && !(start >= 0 && end - start >= limits.range)) return undefined;
  return [
    'unbounded-range',
    all ? 'returns everything there is' : `returns up to ${end - start + 1} elements`,
    'pages of some hundred elements',
  ];
}

function byScore(args: readonly string[]): Found | undefined {
  const all = [args[1], args[2]].sort().join() === '+inf,-inf';
  return all && !hasWord(args, 'LIMIT')
    ? ['unbounded-range', 'returns the whole set', 'LIMIT, or scores between bounds']
    : undefined;
}

function hasWord(args: readonly string[], word: string): boolean {
  return args.some((arg) => arg.length === word.length && arg.toUpperCase() === word);
}

function text(value: unknown): string {
  return value instanceof Uint8Array ? keyText(value) : String(value);
}

function lengthOf(value: unknown): number {
  return typeof value === 'string' || value instanceof Uint8Array ? value.length : 8;
}
