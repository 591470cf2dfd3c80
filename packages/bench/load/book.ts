/** When requests of one thread succeeded and failed: its time line, its pauses, its failures. */
import { performance } from 'node:perf_hooks';
import { LONG_WAIT_MS, MAX_FAILURES, PAUSE_MIN_MS, TIMELINE_GRAIN_MS } from '../limits.ts';
import { type Failure, type LongWait, longWaits, type Moment, type Pause } from './report.ts';

export class Book {
  readonly timeline: Moment[] = [];
  readonly pauses: Pause[] = [];
  readonly failures: Failure[] = [];
  waits: LongWait[] = [];
  private startedAt = 0;
  private lastOkAt = 0;

  /** All times are those of performance.now(). */
  begin(now: number): void {
    this.startedAt = now;
    this.lastOkAt = now;
  }

  succeeded(intended: number, now: number): void {
    const moment = this.moment(now);
    moment.ok += 1;
    moment.maxMs = Math.max(moment.maxMs, now - intended);
    if (now - intended >= LONG_WAIT_MS) this.waited(intended, now);
    this.pauseUntil(now);
    this.lastOkAt = now;
  }

  failed(error: string, intended: number, now: number, since: number): void {
    this.moment(now).failed += 1;
    if (this.failures.length >= MAX_FAILURES) return;
    const { timeOrigin } = performance;
    this.failures.push({
      error,
      intendedAt: timeOrigin + intended,
      endedAt: timeOrigin + now,
      since: timeOrigin + since,
    });
  }

  /** The load is over: a pause that nothing ended counts, too. */
  end(now: number): void {
    this.pauseUntil(now);
  }

  private waited(intended: number, now: number): void {
    const [from, to] = [performance.timeOrigin + intended, performance.timeOrigin + now];
    const last = this.waits.splice(-1);
    this.waits.push(...longWaits([...last, { from, to, requests: 1, longestMs: to - from }]));
  }

  private pauseUntil(now: number): void {
    if (now - this.lastOkAt < PAUSE_MIN_MS) return;
    const { timeOrigin } = performance;
    this.pauses.push({ from: timeOrigin + this.lastOkAt, to: timeOrigin + now });
  }

  private moment(now: number): Moment {
    const index = Math.max(0, Math.floor((now - this.startedAt) / TIMELINE_GRAIN_MS));
    while (this.timeline.length <= index) this.timeline.push({ ok: 0, failed: 0, maxMs: 0 });
    const moment = this.timeline[index];
    if (moment === undefined) throw new Error('the time line has this moment');
    return moment;
  }
}
