/** Time as the control plane uses it; the simulator has another one. */
export interface Clock {
  /** ms since 1970 */
  now(): number;
  sleep(ms: number): Promise<void>;
  /** Calls once after ms unless cancelled. */
  later(ms: number, call: () => void): { cancel(): void };
}

export const systemClock: Clock = {
  now: Date.now,
  sleep: (ms) => new Promise((done) => setTimeout(done, ms)),
  later: (ms, call) => {
    const timer = setTimeout(call, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};
