/** Marks on the object that the application holds, and on views of it. */
import type { Calling, Chain } from '../lanes/call.ts';
import type { Pool } from '../lanes/pool.ts';

export const kCalling = Symbol('cinnabar.calling');
export const kChain = Symbol('cinnabar.chain');
export const kPool = Symbol('cinnabar.pool');

export interface FaceState {
  [kCalling]?: Calling;
  [kChain]?: Chain;
  [kPool]?: Pool;
}
