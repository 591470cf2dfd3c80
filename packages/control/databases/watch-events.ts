/** What a watch tells whoever looks after the database. */
import type { EngineFacts } from '../../engine/contract.ts';

export interface WatchEvents {
  /** Something that the plan may care about changed. */
  changed(): void;
  /** A fresh look at the stream, once a second. */
  sampled(facts: EngineFacts): void;
  falseAlarm(reason: string): void;
  /** It may be dead or hung: the first sign of it. */
  alarm(): void;
  /** It did not answer, and does again, be it that a script runs: a later failover does not begin here. */
  calm(): void;
}
