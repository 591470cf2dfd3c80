/** Steps of start and stop as the parent shows them: named, timed, with what was found. */
import type { FromControl } from '../boot-protocol.ts';

export type Say = (message: FromControl) => void;

/**
 * Runs `work` as one step; `detail` may be set while it runs and is final when it returns one. One
 * that ends without being complete gets no tick; what follows goes on.
 */
export async function step<T>(
  say: Say,
  id: string,
  title: string,
  work: (detail: (text: string) => void) => Promise<T> | T,
  result: (value: T) => string = () => '',
  complete: () => boolean = () => true,
): Promise<T> {
  const began = performance.now();
  const ms = () => Math.round(performance.now() - began);
  say({ type: 'step', id, title, state: 'running' });
  try {
    const value = await work((detail) =>
      say({ type: 'step', id, title, state: 'running', detail }),
    );
    const state = complete() ? 'done' : 'failed';
    say({ type: 'step', id, title, state, detail: result(value), ms: ms() });
    return value;
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    say({ type: 'step', id, title, state: 'failed', detail, ms: ms() });
    throw error;
  }
}
