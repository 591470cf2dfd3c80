/**
 * Counts per command: calls, errors, latency, request and reply bytes. Plain arrays indexed by the
 * command's number; the histograms are log-linear with fixed buckets (control-protocol.ts), so one
 * observation is two additions and workers add up.
 */
import type { Command } from '../../resp/table/index.ts';
import type { CommandCounters, Histogram } from '../control-protocol.ts';

const BUCKETS = 16 * 32;

export function bucketOf(value: number): number {
  const whole = value > 0x7fffffff ? 0x7fffffff : value | 0;
  if (whole < 1) return 0;
  const exponent = 31 - Math.clz32(whole);
  const mantissa = exponent >= 4 ? (whole >> (exponent - 4)) & 15 : (whole << (4 - exponent)) & 15;
  return 16 * exponent + mantissa;
}

class Series {
  readonly #buckets = new Float64Array(BUCKETS);
  #sum = 0;

  add(value: number, times: number): void {
    const bucket = bucketOf(value);
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + times;
    this.#sum += value * times;
  }

  read(unit: 'us' | 'bytes'): Histogram {
    const buckets: [number, number][] = [];
    let count = 0;
    this.#buckets.forEach((times, bucket) => {
      if (times === 0) return;
      buckets.push([bucket, times]);
      count += times;
    });
    return { unit, count, sum: Math.round(this.#sum), buckets };
  }
}

const CLIENT_FIRST = bucketOf(16) >> 2;
const CLIENT_BUCKETS = 88;

/** Buckets that are kept one by one: a client that has asked a few things and waits costs little. */
const FEW_BUCKETS = 4;

/** Of one client: four buckets an octave, from 16 µs to half a minute. */
export class ClientLatency {
  /** Bucket and times, in turn, until there are more. */
  #few: number[] = [];
  #buckets: Uint32Array | null = null;
  #sum = 0;

  add(us: number, times: number): void {
    const at = Math.min(CLIENT_BUCKETS - 1, Math.max(0, (bucketOf(us) >> 2) - CLIENT_FIRST));
    this.#sum += us * times;
    if (this.#buckets === null) this.#addFew(at, times);
    else this.#buckets[at] = (this.#buckets[at] ?? 0) + times;
  }

  #all(): Uint32Array {
    if (this.#buckets !== null) return this.#buckets;
    const buckets = new Uint32Array(CLIENT_BUCKETS);
    const few = this.#few;
    for (let i = 0; i < few.length; i += 2) buckets[few[i] ?? 0] = few[i + 1] ?? 0;
    return buckets;
  }

  #addFew(at: number, times: number): void {
    const few = this.#few;
    let i = 0;
    while (i < few.length && few[i] !== at) i += 2;
    few[i] = at;
    few[i + 1] = (few[i + 1] ?? 0) + times;
    if (few.length <= 2 * FEW_BUCKETS) return;
    this.#buckets = this.#all();
    this.#few = [];
  }

  read(): Histogram {
    const buckets: [number, number][] = [];
    let count = 0;
    this.#all().forEach((times, at) => {
      if (times === 0) return;
      buckets.push([(at + CLIENT_FIRST) << 2, times]);
      count += times;
    });
    return { unit: 'us', count, sum: Math.round(this.#sum), buckets };
  }
}

export class CommandMeter {
  readonly name: string;
  calls = 0;
  failed = 0;
  readonly latency = new Series();
  readonly requestBytes = new Series();
  readonly replyBytes = new Series();

  constructor(name: string) {
    this.name = name;
  }

  read(): CommandCounters {
    return {
      calls: this.calls,
      failed: this.failed,
      latency: this.latency.read('us'),
      requestBytes: this.requestBytes.read('bytes'),
      replyBytes: this.replyBytes.read('bytes'),
    };
  }
}

export class Meter {
  /** By the command's number, without gaps: with one before a high number they would be a hash table. */
  readonly #commands: (CommandMeter | null)[] = [];
  /** Another version of the engine numbers its commands anew; what was counted stays. */
  readonly #byName = new Map<string, CommandMeter>();

  of(command: Command): CommandMeter {
    const known = this.#commands[command.id];
    if (known !== undefined && known !== null && known.name === command.name) return known;
    const meter = this.#byName.get(command.name) ?? new CommandMeter(command.name);
    this.#byName.set(command.name, meter);
    while (this.#commands.length <= command.id) this.#commands.push(null);
    this.#commands[command.id] = meter;
    return meter;
  }

  read(): Record<string, CommandCounters> {
    const all: Record<string, CommandCounters> = {};
    for (const [name, meter] of this.#byName) if (meter.calls > 0) all[name] = meter.read();
    return all;
  }
}
