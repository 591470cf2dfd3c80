import type { Lane } from './lane.ts';
import type { LaneLogin } from './lane-login.ts';

/** Lanes of one login to one shard. */
export interface LaneGroup {
  readonly key: string;
  readonly login: LaneLogin;
  small: Lane | null;
  /** One of them takes the place of a small lane that turned bulk, or that has a WAIT in it. */
  spares: Lane[];
  bulk: Lane[];
  own: Lane[];
  /** To each replica, since a connection to the primary was lost: one of these may be next. */
  warm: Lane[];
  /** To a replica; null where nobody reads from one. */
  replica: Lane | null;
  failedAt: number;
}

/** Resolves when it is logged in, or never will be: the lane has a deadline for that. */
export function connected(lane: Lane): Promise<void> {
  if (lane.state !== 'connecting') return Promise.resolve();
  return new Promise((resolve) => {
    // Whoever else waits for it is told, too.
    const { onReady, onClosed } = lane;
    lane.onReady = () => {
      onReady?.();
      resolve();
    };
    lane.onClosed = (reason) => {
      onClosed?.(reason);
      resolve();
    };
  });
}

export function newGroup(key: string, login: LaneLogin): LaneGroup {
  return {
    key,
    login,
    small: null,
    spares: [],
    bulk: [],
    own: [],
    warm: [],
    replica: null,
    failedAt: 0,
  };
}
