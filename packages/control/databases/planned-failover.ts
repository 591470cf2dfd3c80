/**
 * A planned failover that was asked for: one shard after the other, so that no more than one of them
 * pauses at a time. What is done is read from the records: a shard whose primary is another than at
 * the request is through, whoever changed it.
 */
import type { View } from '../plan/model.ts';
import type { Handover, OperationRecord, ShardRecord } from '../store/records.ts';
import type { DatabaseLoop } from './loop.ts';

export interface StepState {
  readonly name: string;
  readonly done: boolean;
  readonly detail: string;
}

export function isPlanned(operation: OperationRecord): boolean {
  return operation.kind === 'Failover' && operation.input['planned'] === true;
}

export function plannedSteps(operation: OperationRecord, view: View): StepState[] {
  return shardsOf(operation, view).map((shard) => {
    const done = isThrough(operation, shard);
    const problem = shard.handover?.problem?.code;
    return {
      name: `Hand shard ${shard.index} over to its replica`,
      done,
      detail: done ? '' : (problem ?? shard.reason.code),
    };
  });
}

/** Wishes the switch of the first shard that is not through; the others' turn comes later. */
export function wishNext(loop: DatabaseLoop, operation: OperationRecord, view: View): void {
  const shard = shardsOf(operation, view).find((each) => !isThrough(operation, each));
  if (shard === undefined || shard.handover !== null || shard.phase !== 'serving') return;
  const { store, clock } = loop.deps;
  const handover = newWish(null, operation.id, clock.ticks());
  store.write(() => {
    const now = loop.shard(shard.index);
    if (now.phase === 'serving' && now.handover === null) store.putShard({ ...now, handover });
  });
  loop.wake();
}

export function newWish(to: string | null, operation: string | null, at: number): Handover {
  return { to, operation, at, tries: 0, problem: null, notBefore: 0 };
}

function shardsOf(operation: OperationRecord, view: View): ShardRecord[] {
  const asked = operation.input['shards'];
  return view.shards.filter((shard) => Array.isArray(asked) && asked.includes(shard.index));
}

function isThrough(operation: OperationRecord, shard: ShardRecord): boolean {
  const from = operation.input['from'] as Record<string, string> | undefined;
  return shard.phase === 'serving' && shard.primary !== from?.[shard.index];
}
