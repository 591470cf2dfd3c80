/**
 * This machine's own network and CPU, from /proc: when everything is slow, is it the client that is
 * short of bandwidth or CPU, or the server? Elsewhere than on Linux: null.
 */
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { HOST_SAMPLE_MS } from '../limits.ts';

export interface HostUse {
  readonly overMs: number;
  /** All interfaces but the loopback. */
  readonly receivedBytesPerSecond: number;
  readonly sentBytesPerSecond: number;
  /** The loopback alone: a server on this machine. */
  readonly loopbackBytesPerSecond: number;
  /** 0 to 1, all CPUs together, all processes. */
  readonly cpuBusy: number;
  /** CPUs that this process used, e.g. 0.8. */
  readonly processCpus: number;
  readonly verdict: 'cpu' | 'process-cpu' | 'idle-enough';
}

interface Sample {
  readonly at: number;
  readonly received: number;
  readonly sent: number;
  readonly loopback: number;
  readonly busy: number;
  readonly total: number;
  readonly own: number;
}

export class HostMeter {
  #last: Sample | null = sample();
  #use: HostUse | null = null;

  /** Since the last time it was read; at most one look a second. */
  read(): HostUse | null {
    const last = this.#last;
    if (last === null) return null;
    if (performance.now() - last.at < HOST_SAMPLE_MS) return this.#use;
    const now = sample();
    if (now === null) return null;
    this.#last = now;
    this.#use = between(last, now);
    return this.#use;
  }
}

function between(a: Sample, b: Sample): HostUse {
  const overMs = b.at - a.at;
  const per = (x: number, y: number): number => ((y - x) * 1_000) / overMs;
  const cpuBusy = b.total === a.total ? 0 : (b.busy - a.busy) / (b.total - a.total);
  const processCpus = (b.own - a.own) / 1_000 / overMs;
  return {
    overMs,
    receivedBytesPerSecond: per(a.received, b.received),
    sentBytesPerSecond: per(a.sent, b.sent),
    loopbackBytesPerSecond: per(a.loopback, b.loopback),
    cpuBusy,
    processCpus,
    verdict: processCpus > 0.9 ? 'process-cpu' : cpuBusy > 0.9 ? 'cpu' : 'idle-enough',
  };
}

function sample(): Sample | null {
  try {
    let received = 0;
    let sent = 0;
    let loopback = 0;
    for (const line of readFileSync('/proc/net/dev', 'utf8').split('\n')) {
      const [name, fields] = line.split(':');
      if (name === undefined || fields === undefined) continue;
      const numbers = fields.trim().split(/\s+/).map(Number);
      if (name.trim() === 'lo') loopback += numbers[0] ?? 0;
      else {
        received += numbers[0] ?? 0;
        sent += numbers[8] ?? 0;
      }
    }
    const cpu = (readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '')
      .trim()
      .split(/\s+/)
      .slice(1, 9)
      .map(Number);
    const total = cpu.reduce((sum, n) => sum + n, 0);
    const idle = (cpu[3] ?? 0) + (cpu[4] ?? 0);
    const { user, system } = process.cpuUsage();
    return {
      at: performance.now(),
      received,
      sent,
      loopback,
      busy: total - idle,
      total,
      own: user + system,
    };
  } catch {
    // No /proc: not Linux. There is nothing to say then.
    return null;
  }
}
