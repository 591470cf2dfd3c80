/**
 * The machine's memory and disk as last seen. A write decides in one turn of the event loop, and
 * asking the disk takes more than one: so it is asked beforehand and at intervals. What the caches
 * were promised is not in these figures and never stale: it comes from the store at each decision.
 */
import type { Room } from '../catalog/capacity.ts';
import { readRoom } from '../catalog/machine.ts';
import { ROOM_INTERVAL_MS } from './limits.ts';

export interface RoomView {
  /** What was seen last. */
  current(): Room;
  refresh(): Promise<void>;
  stop(): void;
}

/** `own` says what our engines hold now: resident memory, and data files on the disk of `folder`. */
export async function watchRoom(
  folder: string,
  own: () => { readonly memoryBytes: number; readonly diskBytes: number },
  onError: (error: unknown) => void,
): Promise<RoomView> {
  let room = await readRoom(folder, own());
  const refresh = async () => {
    room = await readRoom(folder, own());
  };
  const timer = setInterval(() => void refresh().catch(onError), ROOM_INTERVAL_MS).unref();
  return { current: () => room, refresh, stop: () => clearInterval(timer) };
}
