/** A failover on request, through the management API, as a user asks for it. */
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { CliError } from '../../cli/errors.ts';
import type { OurService } from '../benches/our-service.ts';
import type { Deed } from './experiment.ts';
import type { OurSystem } from './ours.ts';

const JITTER_MS = 150;

export function planned(service: OurService, system: OurSystem): Deed {
  return async () => {
    await sleep(randomInt(JITTER_MS));
    const at = performance.timeOrigin + performance.now();
    try {
      const { operation } = await service.api.failover(system.cache, { shard: system.shard });
      return { kind: 'planned', at, over: service.wait(operation) };
    } catch (error) {
      // A build without it: no figure, and the goal is missed.
      if (error instanceof CliError && error.code === 'NotImplemented') return null;
      throw error;
    }
  };
}
