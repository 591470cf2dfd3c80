/** What a change of the number of shards shows while it runs: slots, keys, and when it may end. */
import type { View } from '../plan/model.ts';
import { slotsToMove } from '../plan/slots.ts';
import type { OperationRecord } from '../store/records.ts';

export interface StepState {
  readonly name: string;
  readonly done: boolean;
  readonly detail: string;
}

/** Settings on every engine, and the endpoint told: it ends with the operation. */
export const APPLY: StepState = { name: 'Apply the change', done: false, detail: '' };

const START = 'Start new shards';
const REMOVE = 'Remove empty shards';

/** Null: this operation does not change the number of shards. */
export function scalingSteps(operation: OperationRecord, view: View): StepState[] | null {
  if (!('shards' in operation.input) || operation.kind !== 'UpdateDatabase') return null;
  const { scaling, sizing } = view.database;
  const wanted = sizing.shards;
  const back = operation.input['canceled'] === true;
  const joined = view.shards.filter((s) => s.index < wanted && s.membership === 'member').length;
  const left = slotsToMove(view.shards, wanted);
  const over = scaling === null;
  const moved = over || (joined === wanted && left === 0 && scaling.move === null);
  // By what happens: to fewer shards none is started, to more none is removed; who turns back does both.
  const difference = scaling === null ? 0 : wanted - scaling.from.shards;
  const names = new Set(operation.steps.map(({ name }) => name));
  if (difference > 0) names.add(START);
  if (difference < 0) names.add(REMOVE);
  const all: StepState[] = [
    {
      name: START,
      done: over || joined === wanted,
      detail: `${joined} of ${wanted} shards`,
    },
    {
      name: back ? 'Move slots back' : 'Move slots',
      done: moved,
      detail: over ? '' : movedSoFar(view, left),
    },
    {
      name: REMOVE,
      done: over || (moved && view.shards.length === wanted),
      detail: over ? '' : `${Math.max(0, view.shards.length - wanted)} left`,
    },
    APPLY,
  ];
  return all.filter(({ name }) => (name !== START && name !== REMOVE) || names.has(name));
}

function movedSoFar({ now, database }: View, left: number): string {
  const { scaling } = database;
  if (scaling === null) return '';
  const { movedSlots, movedKeys, startedAt, trouble, arranging } = scaling;
  // A terminal of 80 columns shows about 40 characters of it: what it waits for and how long come first.
  const parts = [
    ...(arranging == null ? [] : [`a copy of shard ${arranging.shard} in the order of slots`]),
    ...(trouble === null ? [] : [trouble.code]),
    ...(movedSlots > 0 && left > 0 ? [estimate(((now - startedAt) / movedSlots) * left)] : []),
    `${movedSlots} of ${movedSlots + left} slots`,
    `${movedKeys} keys`,
  ];
  return parts.join(', ');
}

function estimate(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / 1000));
  return seconds < 120 ? `about ${seconds} s left` : `about ${Math.round(seconds / 60)} min left`;
}
