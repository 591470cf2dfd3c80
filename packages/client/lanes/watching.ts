/** WATCH is state of one connection: the next transaction belongs there, or its check is worth nothing. */
import { performance } from 'node:perf_hooks';
import { KitError } from '../errors.ts';
import type { Lane } from './lane.ts';

export class Watching {
  #at: { readonly lane: Lane; readonly since: number } | undefined;

  set(lane: Lane | undefined): void {
    this.#at = lane === undefined ? undefined : { lane, since: performance.now() };
  }

  /** The lane of the transaction that comes now; `lost`: its connection is not the one that watched. */
  take(): Lane | 'lost' | undefined {
    const at = this.#at;
    this.#at = undefined;
    if (at === undefined) return undefined;
    return at.lane.state === 'ready' && at.lane.readyAt <= at.since ? at.lane : 'lost';
  }
}

export function watchLost(label: string): KitError {
  return new KitError(
    'ERR_CLIENT_OFFLINE',
    `${label}: the connection that watched its keys was lost, nothing was run; begin again with WATCH`,
  );
}
