/** From the words of the command line to one checked request. Pure. */
import type { Direction } from '../../faults/index.ts';
import { whole } from '../up/options.ts';
import { KIND_NAMES, KINDS, type Kind, type KindName, type TargetName, VALUES } from './kinds.ts';
import type { Asked } from './target.ts';
import { bytesOf, durationOf, jumpOf, usage } from './units.ts';

export interface FaultFlags {
  readonly for?: string;
  readonly target?: TargetName;
  readonly shard?: string;
  readonly worker?: string;
  readonly delay?: string;
  readonly rate?: string;
  readonly direction?: string;
  readonly gone?: string;
  readonly how?: string;
  readonly headroom?: string;
  readonly jump?: string;
  readonly point?: string;
  readonly effect?: string;
  readonly listen?: string;
  readonly before?: string;
  readonly after?: string;
  readonly inPlace?: boolean;
}

export interface FaultRequest extends Asked {
  readonly kind: KindName;
  /** 0: it does not last. */
  readonly forMs: number;
  readonly delayMs: number | null;
  readonly bytesPerSecond: number | null;
  readonly direction: Direction;
  readonly gone: 'client' | 'server';
  readonly how: 'reset' | 'mute';
  readonly headroomBytes: number;
  readonly jumpSeconds: number;
  readonly point: string;
  readonly effect: string;
  readonly inPlace: boolean;
  /** Of the proxy; 0: any free one. */
  readonly listen: number;
  /** The proxy passes everything for this long, before and afterwards. */
  readonly beforeMs: number;
  readonly afterMs: number;
}

const MOST_SHARDS = 16_384;
const MOST_WORKERS = 1_024;
const LAST_PORT = 65_535;

export function requestOf(cache: string, word: string, flags: FaultFlags): FaultRequest {
  const name = KIND_NAMES.find((each) => each === word);
  if (name === undefined) {
    throw usage(`'${word}' is no kind of fault. There are: ${KIND_NAMES.join(', ')}.`);
  }
  const kind: Kind = KINDS[name];
  const target = flags.target ?? kind.targets[0] ?? 'primary';
  if (!kind.targets.includes(target)) {
    throw usage(`${name} cannot be set on ${target}; on: ${kind.targets.join(', ')}.`);
  }
  checkValues(name, kind, flags);
  checkNetwork(name, kind, flags);
  if (kind.lasts && flags.for === undefined) throw usage(`${name} needs --for, such as --for 10s.`);
  if (!kind.lasts && flags.for !== undefined)
    throw usage(`${name} does not last: leave --for out.`);
  return {
    cache,
    kind: name,
    target,
    shard: whole('--shard', flags.shard ?? '0', 0, MOST_SHARDS),
    worker: whole('--worker', flags.worker ?? '0', 0, MOST_WORKERS),
    forMs: flags.for === undefined ? 0 : durationOf('--for', flags.for),
    delayMs: flags.delay === undefined ? null : durationOf('--delay', flags.delay),
    bytesPerSecond: flags.rate === undefined ? null : bytesOf('--rate', flags.rate),
    direction: flags.direction === 'up' ? 'up' : 'down',
    gone: flags.gone === 'client' ? 'client' : 'server',
    how: flags.how === 'mute' ? 'mute' : 'reset',
    headroomBytes: flags.headroom === undefined ? 0 : bytesOf('--headroom', flags.headroom),
    jumpSeconds: flags.jump === undefined ? 0 : jumpOf('--jump', flags.jump),
    point: flags.point ?? '',
    effect: flags.effect ?? 'crash',
    inPlace: flags.inPlace === true,
    listen: flags.listen === undefined ? 0 : whole('--listen', flags.listen, 1, LAST_PORT),
    beforeMs: flags.before === undefined ? 0 : durationOf('--before', flags.before),
    afterMs: flags.after === undefined ? 0 : durationOf('--after', flags.after),
  };
}

function checkValues(name: KindName, kind: Kind, flags: FaultFlags): void {
  for (const value of VALUES) {
    if (flags[value] !== undefined && !kind.takes.includes(value)) {
      throw usage(`${name} takes no --${value}.`);
    }
  }
  const wanted = kind.needsOneOf ?? [];
  if (wanted.length > 0 && wanted.every((value) => flags[value] === undefined)) {
    throw usage(`${name} needs ${wanted.map((value) => `--${value}`).join(' or ')}.`);
  }
}

function checkNetwork(name: KindName, kind: Kind, flags: FaultFlags): void {
  if (flags.inPlace === true && kind.inPlace !== true) {
    throw usage(`${name} cannot be set in place; without --in-place it is set in a proxy.`);
  }
  const proxied = kind.place === 'network' && flags.inPlace !== true;
  for (const option of ['listen', 'before', 'after'] as const) {
    if (flags[option] !== undefined && !proxied) throw usage(`--${option} belongs to a proxy.`);
  }
}
