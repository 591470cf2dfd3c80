/** What of an engine's facts the plan reads: the rest moves all the time and decides nothing. Pure. */
import type { EngineFacts, StreamFacts } from '../../engine/contract.ts';
import { sameSlots } from '../plan/slot-ranges.ts';

/** Something in the stream changed that is not just its position. */
export function moved(facts: EngineFacts | null, stream: StreamFacts): boolean {
  return (
    facts === null ||
    facts.role !== stream.role ||
    facts.link !== stream.link ||
    facts.syncing !== stream.syncing ||
    facts.replicationId !== stream.replicationId ||
    facts.primaryPort !== stream.primaryPort
  );
}

/** What the plan reads of the facts; offsets and memory move all the time and decide nothing here. */
export function differs(a: EngineFacts | null, b: EngineFacts): boolean {
  if (a === null) return true;
  return (
    moved(a, b) ||
    a.loading !== b.loading ||
    a.cluster?.state !== b.cluster?.state ||
    a.cluster?.epoch !== b.cluster?.epoch ||
    a.cluster?.nodes.length !== b.cluster?.nodes.length ||
    !sameSlots(a.cluster?.slots ?? [], b.cluster?.slots ?? [])
  );
}

/** The same object when it says the same: whoever keeps it need not look again. */
export function within(facts: EngineFacts, stream: StreamFacts): EngineFacts {
  return facts.offset === stream.offset ? facts : { ...facts, ...stream };
}
