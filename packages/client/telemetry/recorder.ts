/**
 * Counts for reports and metrics: per command bytes and times, and the largest values seen. One map
 * look-up a call; events are built only while somebody listens.
 */
import type { Lateness } from '../errors.ts';
import type { Call } from '../lanes/call.ts';
import type { Lane } from '../lanes/lane.ts';
import { COMMAND_NAMES_MAX, LARGE_BYTES, TOP_KEYS } from '../limits.ts';
import { commandChannel } from './channels.ts';
import { shown, size } from './explain.ts';
import { tellOver } from './tell.ts';

export interface CommandCounts {
  calls: number;
  bytesOut: number;
  bytesIn: number;
  queueMs: number;
  behindMs: number;
  serverMs: number;
  wireMs: number;
  slowestMs: number;
  late: number;
}

export interface LargeKey {
  readonly command: string;
  readonly key: string;
  readonly bytes: number;
}

const OTHERS = 'others';

export class Recorder {
  readonly commands = new Map<string, CommandCounts>();
  /** Commands that were alone on their connection, and the shortest time that one took there and back. */
  lone = 0;
  leastMs = Number.POSITIVE_INFINITY;
  #large: LargeKey[] = [];
  #lastLate: Lateness | undefined;

  answered(call: Call, lane: Lane, now: number): void {
    const counts = this.#of(call.name);
    const behindMs = call.headAt - call.writtenAt;
    const serverMs = call.firstByteAt - call.headAt;
    const totalMs = now - call.queuedAt;
    counts.calls += 1;
    counts.bytesOut += call.bytesOut;
    counts.bytesIn += call.bytesIn;
    counts.queueMs += call.writtenAt - call.queuedAt;
    counts.behindMs += behindMs;
    counts.serverMs += serverMs;
    counts.wireMs += now - call.firstByteAt;
    if (totalMs > counts.slowestMs) counts.slowestMs = totalMs;
    if (lane.pending.size === 1) {
      this.lone += 1;
      if (serverMs < this.leastMs) this.leastMs = serverMs;
    }
    if (call.bytesIn >= LARGE_BYTES || call.bytesOut >= LARGE_BYTES) this.#sawLarge(call);
    // An error reply whose text nobody has read yet is told when the call fails with it.
    if (!commandChannel.hasSubscribers || (call.unreadError && call.failure === undefined)) return;
    tellOver(call, now, call.failure);
  }

  late(late: Lateness): void {
    this.#of(late.command.toLowerCase()).late += 1;
    this.#lastLate = late;
  }

  /** The largest first. */
  get largeKeys(): readonly LargeKey[] {
    return this.#large;
  }

  /** One line for a log: what went, what came, where the time went, what is large. */
  report(): string {
    const sum = { calls: 0, out: 0, in: 0, queue: 0, behind: 0, server: 0, wire: 0, late: 0 };
    for (const c of this.commands.values()) {
      sum.calls += c.calls;
      sum.out += c.bytesOut;
      sum.in += c.bytesIn;
      sum.queue += c.queueMs;
      sum.behind += c.behindMs;
      sum.server += c.serverMs;
      sum.wire += c.wireMs;
      sum.late += c.late;
    }
    const per = (ms: number): string => (sum.calls === 0 ? '0' : (ms / sum.calls).toFixed(2));
    // A key may be in it twice: written and read.
    const large = this.#large
      .filter(({ key }, at, all) => all.findIndex((one) => one.key === key) === at)
      .slice(0, 3)
      .map((l) => `${l.key} ${size(l.bytes)}`)
      .join(', ');
    const last = this.#lastLate;
    return (
      `${sum.calls} calls, ${size(sum.out)} out, ${size(sum.in)} in; ms a call: ` +
      `${per(sum.queue)} queue, ${per(sum.behind)} behind others, ${per(sum.server)} server, ${per(sum.wire)} wire; ` +
      `${sum.late} late${last === undefined ? '' : ` (last: ${last.command} ${last.key ?? ''}, ${last.cause})`}; ` +
      `largest: ${large === '' ? 'none' : large}`
    );
  }

  #of(name: string): CommandCounts {
    let counts = this.commands.get(name);
    // Names may come from outside: further ones are counted together.
    if (counts === undefined && this.commands.size >= COMMAND_NAMES_MAX) {
      counts = this.commands.get(OTHERS);
      name = OTHERS;
    }
    if (counts === undefined) {
      counts = {
        calls: 0,
        bytesOut: 0,
        bytesIn: 0,
        queueMs: 0,
        behindMs: 0,
        serverMs: 0,
        wireMs: 0,
        slowestMs: 0,
        late: 0,
      };
      this.commands.set(name, counts);
    }
    return counts;
  }

  #sawLarge(call: Call): void {
    const key = shown(call.key);
    if (key === undefined) return;
    const bytes = Math.max(call.bytesIn, call.bytesOut);
    const known = this.#large.findIndex((l) => l.key === key && l.command === call.name);
    const before = this.#large[known];
    if (before !== undefined && before.bytes >= bytes) return;
    if (known >= 0) this.#large.splice(known, 1);
    const at = this.#large.findIndex((l) => l.bytes < bytes);
    if (at < 0 && this.#large.length >= TOP_KEYS) return;
    this.#large.splice(at < 0 ? this.#large.length : at, 0, { command: call.name, key, bytes });
    this.#large.length = Math.min(this.#large.length, TOP_KEYS);
  }
}
