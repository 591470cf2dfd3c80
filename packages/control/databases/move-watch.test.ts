/** Who is asked what while a batch of slots is under way. Without engines. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SlotMoveFacts } from '../../engine/contract.ts';
import type { SlotMove } from '../store/records.ts';
import type { DatabaseLoop } from './loop.ts';
import { MoveWatch } from './move-watch.ts';

const MOVE = {
  source: 0,
  target: 1,
  sourceNode: 'a',
  targetNode: 'b',
  ranges: [[0, 9]],
  askedAt: 0,
} as unknown as SlotMove;

/** Each look finds the source in the next of these states; answers how often the target was woken by then. */
async function wokenAfter(states: readonly string[]): Promise<number[]> {
  const woken: number[] = [];
  let pings = 0;
  const due: (() => void)[] = [];
  const source = {
    slotMoves: () => {
      const state = states[woken.length] ?? 'success';
      return Promise.resolve([
        { operation: 'export', target: 'b', createdAt: 0, ranges: [[0, 9]], state, message: '' },
      ] as unknown as SlotMoveFacts[]);
    },
  };
  const target = {
    ping: () => {
      pings++;
      return Promise.reject(new Error('it does not answer'));
    },
    stream: () => Promise.resolve({ offset: 0 }),
  };
  const loop = {
    deps: {
      clock: {
        ticks: () => 0,
        later: (_: number, look: () => void) => {
          due.push(look);
          return { cancel: () => undefined };
        },
      },
    },
    watch: (id: string) => ({ link: id === 'a' ? source : target }),
    wake: () => undefined,
  } as unknown as DatabaseLoop;
  const watch = new MoveWatch(loop, MOVE);
  for (const _ of states) {
    await new Promise(setImmediate);
    woken.push(pings);
    due.shift()?.();
  }
  watch.stop();
  return woken;
}

test('the target is woken as long as it may have something to tell that it keeps to itself while it sleeps', async () => {
  assert.deepEqual(
    await wokenAfter([
      'connecting',
      'waiting-to-snapshot',
      'snapshotting',
      'replicating',
      'failover-paused',
      'failover-granted',
      'success',
    ]),
    [0, 0, 1, 2, 3, 4, 4],
  );
});
