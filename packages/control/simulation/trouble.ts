/** What can go wrong in a simulated life, and who looks at each step of it. */
import type { EngineLaunch, SlotRange } from '../../engine/contract.ts';
import type { SimEngine } from './engine.ts';

/** One life of the control process. */
export interface Incarnation {
  dead: boolean;
}

export interface Trouble {
  /** Probability that a call is lost before, and after, it had its effect. */
  lostCall: number;
  lostReply: number;
  /** Probability that the control process dies at a call. */
  crash: number;
  /** Faults so far: engines killed, stopped and kept busy, calls and replies lost, deaths of the control process. */
  faults: number;
}

export interface Watcher {
  /** Before an effect that the rules speak of; throws when it breaks one. */
  starting(launch: EngineLaunch): void;
  takingOver(engine: SimEngine): void;
  removing(dataDir: string): void;
  unpausing(engine: SimEngine): void;
  claiming(engine: SimEngine, ranges: readonly SlotRange[]): void;
  /** The control process is to die now. */
  crash(): void;
  changed(why: string): void;
}
