/**
 * `cinnabar fault ...`: rehearse a failure on your own machine. What is set here is undone at its
 * end, by Ctrl-C, and when this process is killed.
 *
 *   fault kill <pid>
 *   fault stop <pid> --for 5s
 *   fault memory <pid> --bytes 200mb --for 30s
 *   fault slow-disk <pid> --delay 50ms --for 30s [--file <path>]...
 *   fault full-disk <folder> --for 30s
 *   fault network --to <host:port> [--slow up|down] [--cut up|down] [--delay 200ms]
 *                 [--rate 100kb] [--refuse reset|mute] [--half-open client|server] [--reset] --for 30s
 */
import { parseArgs } from 'node:util';
import { MAX_FAULT_MS } from '../limits.ts';
import { type ProcessRef, refOf } from '../processes.ts';
import { type Fault, FaultError, Faults } from './faults.ts';
import { type Direction, FaultyNetwork } from './network.ts';

export const FAULT_KINDS = ['kill', 'stop', 'memory', 'slow-disk', 'full-disk', 'network'] as const;

type Options = Readonly<Record<string, string | string[] | boolean | undefined>>;

/** Resolves when the fault is over; `stop` (Ctrl-C) ends it early. Throws FaultError for a wrong call. */
export async function faultCommand(
  args: readonly string[],
  say: (line: string) => void,
  stop: AbortSignal,
): Promise<void> {
  const { values, positionals } = parse(args);
  const [kind, subject] = positionals;
  if (kind === 'network') return network(values, say, stop);
  const faults = new Faults();
  try {
    if (kind === 'kill') {
      const ref = processOf(subject);
      await faults.kill(ref);
      say(`process ${ref.pid} is gone; this cannot be undone`);
      return;
    }
    const fault = await local(faults, kind, subject, values);
    say(`${fault.what}: on`);
    stop.addEventListener('abort', () => void fault.end(), { once: true });
    if (stop.aborted) await fault.end();
    await fault.ended;
    say(`${fault.what}: undone`);
  } finally {
    await faults.close();
  }
}

function local(
  faults: Faults,
  kind: string | undefined,
  subject: string | undefined,
  values: Options,
): Promise<Fault> {
  const ms = durationOf(values['for'], 'for');
  switch (kind) {
    case 'stop':
      return faults.stop(processOf(subject), ms);
    case 'memory':
      return faults.memoryLimit(processOf(subject), bytesOf(values['bytes'], 'bytes'), ms);
    case 'slow-disk': {
      const file = values['file'];
      const files = Array.isArray(file) ? file : [];
      const delayMs = durationOf(values['delay'], 'delay');
      return faults.slowDisk(processOf(subject), { delayMs, files }, ms);
    }
    case 'full-disk':
      if (subject === undefined) throw usage('full-disk needs a folder');
      return faults.fullDisk(subject, ms);
    default:
      throw usage(`${kind ?? 'nothing'} is no kind of fault`);
  }
}

async function network(
  values: Options,
  say: (line: string) => void,
  stop: AbortSignal,
): Promise<void> {
  const to = /^(.+):(\d+)$/.exec(String(values['to'] ?? ''));
  if (to === null) throw usage('network needs --to <host:port>');
  const ms = durationOf(values['for'], 'for');
  const proxy = await FaultyNetwork.open({ host: to[1] ?? '', port: Number(to[2]) });
  try {
    say(`listening on 127.0.0.1:${proxy.port}, in front of ${to[0]}`);
    const faults: Fault[] = [];
    if (values['slow'] !== undefined) {
      faults.push(
        proxy.slow(
          directionOf(values['slow'], 'slow'),
          {
            ...(values['delay'] === undefined
              ? {}
              : { delayMs: durationOf(values['delay'], 'delay') }),
            ...(values['rate'] === undefined
              ? {}
              : { bytesPerSecond: bytesOf(values['rate'], 'rate') }),
          },
          ms,
        ),
      );
    }
    if (values['cut'] !== undefined) faults.push(proxy.cut(directionOf(values['cut'], 'cut'), ms));
    const refuse = values['refuse'];
    if (refuse === 'reset' || refuse === 'mute') faults.push(proxy.refuse(refuse, ms));
    else if (refuse !== undefined) throw usage('--refuse is reset or mute');
    const gone = values['half-open'];
    if (gone === 'client' || gone === 'server') faults.push(proxy.halfOpen(gone, ms));
    else if (gone !== undefined) throw usage('--half-open is client or server');
    if (values['reset'] === true) say(`${proxy.reset()} connections reset`);
    for (const fault of faults) say(`${fault.what}: on`);
    await over(ms, stop);
    await Promise.all(faults.map((fault) => fault.end()));
    say('undone; connections through this proxy end with it');
  } finally {
    await proxy.close();
  }
}

function over(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    const end = (): void => {
      clearTimeout(timer);
      resolve();
    };
    stop.addEventListener('abort', end, { once: true });
    if (stop.aborted) end();
  });
}

function parse(args: readonly string[]): { values: Options; positionals: string[] } {
  const text = { type: 'string' } as const;
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        for: text,
        bytes: text,
        delay: text,
        rate: text,
        to: text,
        slow: text,
        cut: text,
        refuse: text,
        'half-open': text,
        reset: { type: 'boolean' },
        file: { type: 'string', multiple: true },
      },
    });
  } catch (error) {
    throw usage(error instanceof Error ? error.message : String(error));
  }
}

function processOf(text: string | undefined): ProcessRef {
  const pid = Number(text);
  const ref = Number.isSafeInteger(pid) && pid > 1 ? refOf(pid) : null;
  if (ref === null)
    throw new FaultError('process-gone', `there is no process ${text ?? '(none given)'}`);
  return ref;
}

function directionOf(value: unknown, name: string): Direction {
  if (value === 'up' || value === 'down') return value;
  throw usage(`--${name} is up (to the server) or down (to the client)`);
}

const TIME_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** '500ms', '5s', '2m', '1h' to milliseconds. */
export function durationOf(value: unknown, name: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(String(value ?? ''));
  const ms = Number(match?.[1]) * (TIME_UNITS[match?.[2] ?? ''] ?? Number.NaN);
  if (ms > 0 && ms <= MAX_FAULT_MS) return ms;
  throw usage(`--${name} is a time such as 500ms, 30s or 2m, at most ${MAX_FAULT_MS / 3_600_000}h`);
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  kb: 2 ** 10,
  mb: 2 ** 20,
  gb: 2 ** 30,
};

/** '1000', '100kb', '200mb', '1gb' to bytes. */
export function bytesOf(value: unknown, name: string): number {
  const match = /^(\d+(?:\.\d+)?)(|kb|mb|gb)$/i.exec(String(value ?? ''));
  const bytes = Number(match?.[1]) * (SIZE_UNITS[match?.[2]?.toLowerCase() ?? ''] ?? Number.NaN);
  if (bytes > 0) return Math.round(bytes);
  throw usage(`--${name} is a size such as 100kb or 200mb`);
}

function usage(what: string): FaultError {
  return new FaultError(
    'bad-fault',
    `${what}. Faults: kill <pid>; stop <pid> --for 5s; memory <pid> --bytes 200mb --for 30s; slow-disk <pid> --delay 50ms --for 30s; full-disk <folder> --for 30s; network --to <host:port> --cut up --for 30s`,
  );
}
