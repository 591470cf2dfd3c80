/** Failovers whose new primary the endpoint serves by now: said, with the time of each part. */
import { PARTS } from './failover-times.ts';
import type { DatabaseLoop } from './loop.ts';

export function tellTimes(loop: DatabaseLoop): void {
  for (const shard of loop.times.over()) {
    const after = loop.times.end(shard);
    const parts = Object.entries(after).map(([part, ms]) => `${part} ${ms}`);
    loop.tell(
      'failover-complete',
      'info',
      `Shard ${shard} serves again ${after.published ?? 0} ms after ${PARTS.alarm} (ms: ${parts.join(', ')}).`,
      { shard, data: after },
    );
  }
}
