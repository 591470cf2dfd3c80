/** Reads every witness back and judges it. Follows redirects, so it works on a cluster as well. */
import { LOG_PAGE, MAX_EXAMPLES, MAX_REDIRECTS } from '../limits.ts';
import { Asker, encode, type Target } from './asker.ts';
import { type Reply, ServerError } from './decode.ts';
import { type Anomaly, emptyVerification, type Verification } from './report.ts';
import type { Stream } from './streams.ts';
import { judgeLog, judgeRegister, type Verdict } from './verdict.ts';

export async function verifyStreams(
  streams: readonly Stream[],
  target: Target,
  nameConnection: (connection: number) => string,
): Promise<Verification> {
  const reader = new Reader(target);
  const total = emptyVerification();
  try {
    for (const stream of streams) {
      if (stream.last === 0) continue;
      total.streams += 1;
      let verdict: Verdict;
      try {
        verdict = await judgeStream(stream, reader);
      } catch (error) {
        total.unread.push(`${stream.key.toString('latin1')}: ${String(error)}`);
        continue;
      }
      add(total, verdict, stream, nameConnection);
    }
  } finally {
    reader.close();
  }
  return total;
}

async function judgeStream(stream: Stream, reader: Reader): Promise<Verdict> {
  if (stream.kind === 'register') {
    const value = await reader.ask('GET', stream.key);
    const final = Buffer.isBuffer(value) ? Number.parseInt(value.toString('latin1'), 10) : 0;
    return judgeRegister(stream, stream.previous, final);
  }
  const observed: number[] = [];
  for (let from = 0; ; from += LOG_PAGE) {
    const page = await reader.ask('LRANGE', stream.key, from, from + LOG_PAGE - 1);
    if (!Array.isArray(page)) throw new Error('LRANGE answered no array');
    for (const entry of page) observed.push(Number(entry));
    if (page.length < LOG_PAGE) return judgeLog(stream, observed);
  }
}

function add(
  total: Verification,
  verdict: Verdict,
  stream: Stream,
  nameConnection: (connection: number) => string,
): void {
  total.acknowledged += verdict.acknowledged;
  total.refused += verdict.refused;
  total.unknown += verdict.unknown;
  total.unknownApplied += verdict.unknownApplied;
  for (const kind of ['lost', 'duplicated', 'reordered', 'impossible'] as const) {
    total[kind] += verdict[kind].length;
    for (const number of verdict[kind].slice(0, MAX_EXAMPLES - total.examples.length)) {
      total.examples.push(example(kind, number, stream, nameConnection));
    }
  }
}

function example(
  kind: Anomaly['kind'],
  number: number,
  stream: Stream,
  nameConnection: (connection: number) => string,
): Anomaly {
  return {
    kind,
    key: stream.key.toString('latin1'),
    number,
    sentAt: iso(stream.sentAt[number]),
    acknowledgedAt: iso(stream.endedAt[number]),
    connection: nameConnection(stream.connection[number] ?? 0),
  };
}

function iso(at: number | undefined): string {
  return at === undefined || at === 0 ? '' : new Date(at).toISOString();
}

/** Asks a single server or a cluster; opens a connection to each node it is sent to. */
export class Reader {
  private readonly seed: Target;
  private readonly askers = new Map<string, Promise<Asker>>();

  constructor(seed: Target) {
    this.seed = seed;
  }

  async ask(...args: (string | Buffer | number)[]): Promise<Reply> {
    const request = encode(args);
    let where = '';
    for (let i = 0; i < MAX_REDIRECTS; i += 1) {
      const asker = await this.open(where);
      const reply = await asker.raw(request);
      if (!(reply instanceof ServerError)) return reply;
      if (reply.code !== 'MOVED') throw reply;
      where = reply.message.split(' ')[2] ?? '';
    }
    throw new Error(`more than ${MAX_REDIRECTS} redirects`);
  }

  close(): void {
    for (const asker of this.askers.values()) {
      asker.then(
        (open) => open.close(),
        () => undefined, // It never opened: nothing to close.
      );
    }
  }

  private open(where: string): Promise<Asker> {
    let asker = this.askers.get(where);
    if (asker === undefined) {
      asker = Asker.open(where === '' ? this.seed : nodeTarget(this.seed, where));
      this.askers.set(where, asker);
    }
    return asker;
  }
}

/** The same login and TLS at another address of the cluster. */
export function nodeTarget(seed: Target, address: string): Target {
  const colon = address.lastIndexOf(':');
  const { path: _path, ...rest } = seed;
  return { ...rest, host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
}
