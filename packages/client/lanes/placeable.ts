/** What goes to lanes, alone or as one of several. */
import type { Call, Chain } from './call.ts';
import type { Lane } from './lane.ts';

/** Something that goes to one lane as a whole: a call, or a batch of them. */
export interface Placeable {
  readonly label: string;
  readonly place: Call['place'];
  readonly bytesOut: number;
  readonly read: boolean;
  readonly calls: readonly Call[];
  readonly chain: Chain | undefined;
  readonly deadlineAt: number;
  readonly queuedAt: number;
  readonly settled: boolean;
  /** Its place in the order in which the application asked. */
  asked: number;
  /** MULTI ... EXEC in one piece. */
  readonly transaction?: boolean;
  keys(): readonly string[];
  send(lane: Lane): void;
  fail(error: unknown): void;
}

/** Of a batch, which may have more calls than a function takes arguments. */
export function firstDeadline(calls: readonly Call[]): number {
  let first = Number.POSITIVE_INFINITY;
  for (const { deadlineAt } of calls) if (deadlineAt < first) first = deadlineAt;
  return first;
}
