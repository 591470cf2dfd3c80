/** A cache of ours under the writers, reached as its users reach it: one address, TLS, a key. */

import type { Policy } from '../../endpoint/control-protocol.ts';
import { openLink } from '../../engine/index.ts';
import type { OurService } from '../benches/our-service.ts';
import { slotOf } from '../load/slots.ts';
import { requireRef, until } from '../processes.ts';
import { ASK_MS, type System } from './system.ts';

const WHOLE_MS = 60_000;
const LINK_MS = 2_000;

export interface OurSystem extends System {
  readonly cache: string;
  readonly shard: number;
}

export async function ourSystem(
  service: OurService,
  options: {
    readonly cache: string;
    readonly sku: string;
    readonly policy: Policy;
    readonly shard: number;
  },
): Promise<OurSystem> {
  const { cache: name, sku, policy, shard } = options;
  const { cache } = await service.create(name, { sku, policy });
  const status = async () => {
    const found = (await service.api.shards(name))[shard];
    if (found === undefined) throw new Error(`${name} has no shard ${shard}`);
    return found;
  };
  const primary = async () => {
    const found = (await status()).instances.find((each) => each.role === 'primary');
    if (found === undefined) throw new Error(`shard ${shard} of ${name} has no primary now`);
    return found.instance;
  };
  const { slots } = (await status()).shard;
  return {
    name,
    cache: name,
    shard,
    reach: { targets: [cache.target] },
    tag: tagWithin(slots),
    entrance: async () => cache.target,
    primary: async () => requireRef((await primary()).process?.pid ?? 0),
    whole: () =>
      until(
        `${name} is whole`,
        async () => {
          const all = await service.api.shards(name);
          return all.every(
            (each) =>
              each.shard.phase === 'serving' &&
              each.instances.every((i) => ['serving', 'in-sync'].includes(i.condition)),
          );
        },
        WHOLE_MS,
        ASK_MS,
      ),
    beginSnapshot: async () => {
      const { socket, databaseId } = await primary();
      const { admin } = await service.internalSecrets(databaseId);
      const link = await openLink(socket, { user: 'admin', password: admin }, LINK_MS);
      await link.command(['BGSAVE'], LINK_MS);
      link.close();
    },
  };
}

/** A hash tag whose slot lies in one of these ranges; a NoCluster shard has none: any will do. */
export function tagWithin(slots: readonly (readonly [number, number])[]): string {
  for (let i = 0; ; i += 1) {
    const tag = `t${i}`;
    const slot = slotOf(Buffer.from(tag));
    if (slots.length === 0 || slots.some(([a, b]) => slot >= a && slot <= b)) return tag;
  }
}
