/**
 * Which engines give way to all others now: replicas on their way to a whole copy (`engine/weights.ts`).
 *
 * Only beside a primary that lives: as soon as it does not, whoever may follow it needs all it can get, and
 * has it before anything is decided. So what is asked is the state of now and not what happened: a control
 * process that takes over finds an engine light, and says the same of it.
 */
import type { ProcessRef } from '../../engine/contract.ts';
import type { View } from '../plan/model.ts';
import type { InstanceRecord, ShardRecord } from '../store/records.ts';
import type { ExecutorDeps } from './deps.ts';

/** Called at each turn, before what is planned begins. */
export function weighEngines({ node }: ExecutorDeps, view: View): void {
  for (const { process, weight } of weights(view)) node.weigh(process, weight);
}

interface Weighed {
  readonly process: ProcessRef;
  readonly weight: 'light' | 'full';
}

export function weights(view: View): Weighed[] {
  const serving = new Map(view.shards.map((shard) => [shard.index, lives(view, shard)]));
  return view.instances.flatMap((instance) => {
    const { process, shard } = instance;
    if (process === null) return [];
    const primary = serving.get(shard) ?? null;
    return [{ process, weight: isFilling(instance, primary) ? 'light' : 'full' }];
  });
}

/** The primary, where it is undisputed and its process is there. */
function lives({ instances, seen }: View, { phase, primary }: ShardRecord): string | null {
  const runs = instances.some(({ id, phase }) => id === primary && phase === 'running');
  return phase === 'serving' && runs && seen.get(primary ?? '')?.process !== 'gone'
    ? primary
    : null;
}

function isFilling({ id, phase, synced }: InstanceRecord, primary: string | null): boolean {
  return primary !== null && id !== primary && phase === 'running' && !synced;
}
