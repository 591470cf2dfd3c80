import { CRASHES } from '../failover/blows.ts';
import { experiment, fill, hanging, killing } from '../failover/experiment.ts';
import { ourSystem } from '../failover/ours.ts';
import type { Bench, Measured } from '../harness/result.ts';
import { OurService } from './our-service.ts';

const DATA_MB = 100;

export const failover: Bench = {
  name: 'failover',
  about: '',
  async run(context): Promise<Measured[]> {
    const service = await OurService.make({
      miniature: { memoryDivisor: 3, maxShards: 3 },
      workers: 'one-a-core',
    });
    context.defer(() => service.destroy());
    await service.start();
    const one = await ourSystem(service, {
      cache: 'one',
      sku: 'Balanced_B1',
      policy: 'EnterpriseCluster',
      shard: 0,
    });
    await fill(one, DATA_MB);
    context.say('filled');
    const deeds = Array.from({ length: 8 }, (_, i) => killing(CRASHES[i % 4] ?? 'any-moment'));
    const outcome = await experiment(one, [...deeds, hanging], { seed: 1, say: context.say });
    context.say(JSON.stringify({ ...outcome, blows: undefined }));
    for (const e of (await service.api.events({ limit: 100 })).reverse())
      context.say(`${new Date(e.at).toISOString()} ${e.reason} ${JSON.stringify(e.data)}`);
    return [
      { metric: 'crash_p50_ms', unit: 'ms', samples: { ours: outcome.blows.map((b) => b.gapMs) } },
    ];
  },
};
