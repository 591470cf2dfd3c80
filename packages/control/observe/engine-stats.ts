/**
 * What engines say about commands, as the counters of the endpoint: for `OSSCluster`, where clients
 * are direct and the endpoint sees only who begins at the seed. Pure: replies to records.
 *
 * Engines count their own time only (not the wait in a queue, not the way), know no bytes per command,
 * and forget with a restart. Their histograms have one bucket an octave.
 */
import type {
  ClientView,
  CommandCounters,
  DatabaseCounters,
  Histogram,
  LargeView,
} from '../../endpoint/control-protocol.ts';
import { CONTROL_NAME } from '../../engine/index.ts';
import { INTERNAL_USERS } from '../auth/users.ts';
import { bucketOf } from './histogram.ts';

/** Of replication and of our own questions, not of clients. */
const OURS = new Set(['replconf', 'psync', 'sync', 'failover', 'latency|histogram', 'config|set']);
const OUR_USERS: ReadonlySet<string> = new Set(Object.values(INTERNAL_USERS));
const NOTHING: Histogram = { unit: 'bytes', count: 0, sum: 0, buckets: [] };

/** @param info the reply to INFO stats commandstats clients */
export function countersOf(
  database: string,
  info: string,
  histograms: unknown,
  clients: number,
): DatabaseCounters {
  const fields = new Map(
    info.split('\r\n').flatMap((line) => {
      const at = line.indexOf(':');
      return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 1)] as const];
    }),
  );
  const number = (name: string): number => Number(fields.get(name) ?? 0);
  const latency = histogramsOf(histograms);
  const commands: Record<string, CommandCounters> = {};
  const guard: Record<string, { warned: number; refused: number }> = {};
  for (const [name, text] of fields) {
    const command = /^cmdstat_(.+)$/.exec(name)?.[1];
    if (command === undefined || OURS.has(command)) continue;
    const part = (key: string): number => Number(new RegExp(`\\b${key}=(\\d+)`).exec(text)?.[1]);
    const refused = part('rejected_calls') || 0;
    if (refused > 0) guard[command] = { warned: 0, refused };
    const usec = part('usec') || 0;
    commands[command] = {
      calls: part('calls') || 0,
      failed: part('failed_calls') || 0,
      latency: { ...(latency.get(command) ?? { ...NOTHING, unit: 'us' }), sum: usec },
      requestBytes: NOTHING,
      replyBytes: NOTHING,
    };
  }
  const turnedAway = number('rejected_connections');
  return {
    id: database,
    connections: clients,
    opened: number('total_connections_received'),
    closed: {},
    refused: turnedAway > 0 ? { 'max-clients': turnedAway } : {},
    bytesIn: number('total_net_input_bytes'),
    bytesOut: number('total_net_output_bytes'),
    commands,
    guard,
  };
}

/** LATENCY HISTOGRAM: [name, ['calls', n, 'histogram_usec', [bound, count up to it, ...]], ...]. */
function histogramsOf(reply: unknown): Map<string, Histogram> {
  const all = new Map<string, Histogram>();
  const list = listOf(reply);
  for (let i = 0; i + 1 < list.length; i += 2) {
    const body = listOf(list[i + 1]);
    const at = body.findIndex((each) => String(each) === 'histogram_usec');
    const pairs = listOf(body[at + 1]);
    const buckets: [number, number][] = [];
    let before = 0;
    for (let j = 0; j + 1 < pairs.length; j += 2) {
      const upTo = Number(pairs[j + 1]);
      // A bound is the upper end of its octave: its lower half stands for it.
      buckets.push([bucketOf(Math.max(1, Number(pairs[j]) * 0.75)), upTo - before]);
      before = upTo;
    }
    all.set(String(list[i]), { unit: 'us', count: before, sum: 0, buckets });
  }
  return all;
}

/** Maps and arrays alike, as pairs in a row. */
function listOf(reply: unknown): unknown[] {
  if (Array.isArray(reply)) return reply;
  return reply instanceof Map ? [...reply].flat() : [];
}

export interface EngineClient extends Omit<ClientView, 'latency'> {
  /** CLIENT ID there. */
  readonly number: string;
}

/** CLIENT LIST without our own connections. `prefix`: of the id, to find the engine again. */
export function clientsOf(
  database: string,
  prefix: string,
  list: string,
  at: number,
): EngineClient[] {
  return list.split('\n').flatMap((line) => {
    const field = (name: string): string =>
      new RegExp(`(?:^| )${name}=(\\S*)`).exec(line)?.[1] ?? '';
    const number = field('id');
    if (number === '' || OUR_USERS.has(field('user')) || /[SM]/.test(field('flags'))) return [];
    return [
      {
        id: `${prefix}:${number}`,
        number,
        database,
        address: field('addr'),
        name: field('name'),
        user: field('user'),
        openedAt: at - Number(field('age')) * 1000,
        idleMs: Number(field('idle')) * 1000,
        state: STATES.find(([flag]) => field('flags').includes(flag))?.[1] ?? 'open',
        tls: true,
        library: [field('lib-name'), field('lib-ver')].filter(Boolean).join(' '),
        commands: Number(field('tot-cmds')),
        lastCommand: field('cmd'),
        bytesIn: Number(field('tot-net-in')),
        bytesOut: Number(field('tot-net-out')),
      },
    ];
  });
}

const STATES: readonly (readonly [flag: string, state: string])[] = [
  ['O', 'monitor'],
  ['b', 'blocked'],
  ['x', 'transaction'],
  ['P', 'subscribed'],
];

export interface LogEntry {
  readonly at: number;
  /** Microseconds, or bytes. */
  readonly amount: number;
  readonly command: readonly string[];
  readonly address: string;
  readonly name: string;
}

/** SLOWLOG GET and COMMANDLOG GET. */
export function logEntries(reply: unknown): LogEntry[] {
  return listOf(reply).flatMap((entry) => {
    const [, at, amount, command, address = '', name = ''] = listOf(entry);
    if (at === undefined) return [];
    return [
      {
        at: Number(at) * 1000,
        amount: Number(amount),
        command: listOf(command).map(String),
        address: String(address),
        name: String(name),
      },
    ];
  });
}

/** What engines say to each other. */
const BETWEEN_ENGINES = /^(?:p?sync|replconf|cluster syncslots)\b/i;

/** Whose command it was; `direct`: clients reach engines themselves, else over TCP only other engines do. */
export function slowClient(address: string, command: readonly string[], direct: boolean): string {
  if (isOurs(address)) return '';
  const engines = !direct || BETWEEN_ENGINES.test(command.slice(0, 2).join(' '));
  return engines ? 'engine' : address;
}

/** What Cinnabar itself asked for: its control process, or one engine of another. */
export function isOwnWork({ client, address, name }: OwnWork): boolean {
  return client === 'engine' || (isOurs(address) && name === CONTROL_NAME);
}

interface OwnWork {
  /** As `slowClient` says. */
  readonly client: string;
  readonly address: string;
  readonly name: string;
}

/** Ours come over the unix socket: `/path.sock:0`, or in the engine's logs `[/path.sock:0]:0`. */
export function isOurs(address: string): boolean {
  return /^\[?\//.test(address);
}

/** An entry of COMMANDLOG large-request or large-reply; null: of one of our own connections. */
export function largeOf(
  database: string,
  kind: LargeView['kind'],
  entry: LogEntry,
): LargeView | null {
  if (isOurs(entry.address)) return null;
  const [command = '', key = ''] = entry.command;
  return {
    kind,
    database,
    command: command.toLowerCase(),
    key,
    count: 1,
    bytes: entry.amount,
    ms: 0,
    behind: 0,
    firstAt: entry.at,
    at: entry.at,
    client: entry.address,
  };
}
