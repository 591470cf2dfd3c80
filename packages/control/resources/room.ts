/**
 * The machine's memory and disk, read when a decision or a reader asks, and for a moment the same: a list
 * of all SKUs asks for each. Nobody asks an idle control process. What the caches were promised is not in
 * these figures and never stale: it comes from the store at each decision.
 */
import type { Room } from '../catalog/capacity.ts';
import { readRoom } from '../catalog/machine.ts';
import { ROOM_FRESH_MS } from './limits.ts';

/**
 * `own` says what our engines hold now: resident memory, and data files on the disk of `folder`. Where
 * the machine cannot be read any more, the last that was read counts on.
 */
export function roomOn(
  folder: string,
  own: () => { readonly memoryBytes: number; readonly diskBytes: number },
  onError: (error: unknown) => void,
): () => Room {
  let room = readRoom(folder, own());
  let readAt = performance.now();
  return () => {
    if (performance.now() - readAt < ROOM_FRESH_MS) return room;
    readAt = performance.now();
    try {
      room = readRoom(folder, own());
    } catch (error) {
      onError(error);
    }
    return room;
  };
}
