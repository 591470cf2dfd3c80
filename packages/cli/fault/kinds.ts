/**
 * The kinds of faults that `cinnabar fault` sets, as data: help, checks and documentation read this
 * table. How each is done is `packages/faults`.
 */
export const TARGETS = ['endpoint', 'primary', 'replica', 'worker', 'control'] as const;
export type TargetName = (typeof TARGETS)[number];

/** Options that only some kinds take. */
export const VALUES = [
  'delay',
  'rate',
  'direction',
  'gone',
  'how',
  'headroom',
  'jump',
  'point',
  'effect',
] as const;
export type ValueName = (typeof VALUES)[number];

export interface Kind {
  readonly summary: string;
  readonly targets: readonly TargetName[];
  /** The first is meant when none is given. */
  readonly takes: readonly ValueName[];
  /** Of which at least one must be given. */
  readonly needsOneOf?: readonly ValueName[];
  /** False: it is over as soon as it happened, so it has no duration. */
  readonly lasts: boolean;
  /** Where: in the process, or on the way to it. */
  readonly place: 'process' | 'network';
  /** Whether `--in-place` can do it. */
  readonly inPlace?: true;
  /** Tools and rights, by name. */
  readonly needs: string;
}

const PROCESSES = ['primary', 'replica', 'worker', 'control'] as const;
const ADDRESSES = ['endpoint', 'primary', 'replica'] as const;
const STRACE = 'strace (fetched if absent), the right to trace (same user, or root)';

export const KINDS = {
  kill: {
    summary: 'SIGKILL; cannot be undone, what died is replaced',
    targets: PROCESSES,
    takes: [],
    lasts: false,
    place: 'process',
    needs: '',
  },
  hang: {
    summary: 'SIGSTOP: it is there, its sockets are open, nothing moves',
    targets: PROCESSES,
    takes: [],
    lasts: true,
    place: 'process',
    needs: '',
  },
  slow: {
    summary: 'bytes arrive later (--delay) or at most at a --rate',
    targets: ADDRESSES,
    takes: ['direction', 'delay', 'rate'],
    needsOneOf: ['delay', 'rate'],
    lasts: true,
    place: 'network',
    needs: '',
  },
  cut: {
    summary: 'nothing arrives in one direction; nothing is lost, it comes when the cut ends',
    targets: ADDRESSES,
    takes: ['direction'],
    lasts: true,
    place: 'network',
    inPlace: true,
    needs: 'with --in-place: root, nft (fetched if absent)',
  },
  reset: {
    summary: 'every open connection ends with RST',
    targets: ADDRESSES,
    takes: [],
    lasts: false,
    place: 'network',
    inPlace: true,
    needs: 'with --in-place: root, ss',
  },
  'half-open': {
    summary: 'one end is gone without a word, the other stays open and hears nothing',
    targets: ADDRESSES,
    takes: ['gone'],
    lasts: true,
    place: 'network',
    needs: '',
  },
  refuse: {
    summary: 'new connections are reset, or accepted and never served',
    targets: ADDRESSES,
    takes: ['how'],
    lasts: true,
    place: 'network',
    needs: '',
  },
  'full-disk': {
    summary: 'no space left: a small file system is filled, on a large one the process is told so',
    targets: ['primary', 'replica', 'control'],
    takes: [],
    lasts: true,
    place: 'process',
    needs: `on a file system above 4 GB: ${STRACE}`,
  },
  'slow-disk': {
    summary: 'each sync and rename of files takes --delay longer',
    targets: ['primary', 'replica', 'control'],
    takes: ['delay'],
    needsOneOf: ['delay'],
    lasts: true,
    place: 'process',
    needs: STRACE,
  },
  memory: {
    summary: 'its memory may grow by --headroom and no more',
    targets: PROCESSES,
    takes: ['headroom'],
    needsOneOf: ['headroom'],
    lasts: true,
    place: 'process',
    needs: 'prlimit (util-linux), the same user or root',
  },
  clock: {
    summary: 'the wall clock of the control process is off by --jump (-2h, 90s)',
    // Engines do not run under libfaketime: their allocator and it wait for each other.
    targets: ['control'],
    takes: ['jump'],
    needsOneOf: ['jump'],
    lasts: true,
    place: 'process',
    needs: 'a Cinnabar that was started as `cinnabar fault --clock-environment` says',
  },
  failpoint: {
    summary: 'control crashes, hangs or fails at a --point of an operation, such as promote:before',
    targets: ['control'],
    takes: ['point', 'effect'],
    needsOneOf: ['point'],
    lasts: true,
    place: 'process',
    needs: '',
  },
} as const satisfies Readonly<Record<string, Kind>>;

export type KindName = keyof typeof KINDS;
export const KIND_NAMES = Object.keys(KINDS) as KindName[];

export function kindsForHelp(): string {
  const width = Math.max(...KIND_NAMES.map((name) => name.length));
  return KIND_NAMES.map((name) => `  ${name.padEnd(width)}  ${KINDS[name].summary}`).join('\n');
}
