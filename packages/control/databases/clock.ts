/**
 * Time as the control plane uses it; the simulator has another one.
 *
 * Two of them. The time of day is for records that people read; it may be set back or forward by an
 * hour at any moment. Ages, deadlines and "asked after it died" are decided by the other one, which
 * only goes forward. The two agree as long as nobody sets the first one.
 */
export interface Clock {
  /** Time of day, ms since 1970. */
  now(): number;
  /** ms since 1970 as they were when this process began; from then on only forward, whoever sets the clock. */
  ticks(): number;
  sleep(ms: number): Promise<void>;
  /** Calls once after ms unless cancelled. */
  later(ms: number, call: () => void): { cancel(): void };
}

export const systemClock: Clock = {
  now: Date.now,
  ticks: () => performance.timeOrigin + performance.now(),
  sleep: (ms) => new Promise((done) => setTimeout(done, ms)),
  later: (ms, call) => {
    const timer = setTimeout(call, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};
