/** What the endpoint is told of one shard, while clients wait for it or are about to. */
import type { EndpointFleet } from '../endpoints/contract.ts';
import type { ExecutorDeps } from './deps.ts';

export function shardWords(
  deps: {
    readonly fleet: Pick<EndpointFleet, 'prepare' | 'hold' | 'expect' | 'release'>;
    readonly log: ExecutorDeps['log'];
  },
  /** Of the last snapshot. */
  epoch: () => number,
): Pick<ExecutorDeps, 'prepare' | 'hold' | 'expect' | 'release'> {
  const { fleet, log } = deps;
  return {
    prepare: (id, shard) => fleet.prepare(`${id}/${shard}`),
    hold: (id, shard, deadlineMs) => fleet.hold(`${id}/${shard}`, deadlineMs),
    expect(id, shard, successor) {
      fleet.expect(`${id}/${shard}`, epoch(), successor).catch((error) => {
        // The release says all of it again.
        log('debug', 'a successor was not made ready for', {
          shard: `${id}/${shard}`,
          error: String(error),
        });
      });
    },
    async release(id, shard, successor) {
      try {
        await fleet.release(`${id}/${shard}`, epoch(), successor);
        return true;
      } catch (error) {
        // Its deadline releases it.
        log('warn', 'a shard was not released', { shard: `${id}/${shard}`, error: String(error) });
        return false;
      }
    },
  };
}
