/** A failover on request, through the management API, as a user asks for it. */
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { OurService } from '../benches/our-service.ts';
import type { Deed } from './experiment.ts';
import type { OurSystem } from './ours.ts';

const JITTER_MS = 150;

export function planned(service: OurService, system: OurSystem): Deed {
  return async () => {
    await sleep(randomInt(JITTER_MS));
    const at = performance.timeOrigin + performance.now();
    const { operation } = await service.api.failover(system.cache, { shard: system.shard });
    return { kind: 'planned', at, over: service.wait(operation) };
  };
}
