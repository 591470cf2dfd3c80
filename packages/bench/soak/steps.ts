/**
 * What may happen in a soak: faults and management operations. Which one, and on which cache and
 * role, comes from the seed alone; never from time or from pids. So a seed is a story that can be
 * told again.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Faults } from '../../faults/index.ts';
import type { OurService } from '../benches/our-service.ts';
import type { Random } from '../data/random.ts';
import { requireRef, until } from '../processes.ts';
import { upgradePhase } from './older-engine.ts';

export interface StepContext {
  readonly service: OurService;
  readonly faults: Faults;
  /** Caches under load; all with high availability. */
  readonly caches: readonly string[];
  /** Those of them that have slots. */
  readonly clustered: readonly string[];
  /** One beside them that was made on an older engine; null: there is none here. */
  readonly older: string | null;
  readonly random: Random;
}

export interface Step {
  readonly name: string;
  readonly weight: number;
  /** Does it and answers what was done, for the time line. */
  run(context: StepContext): Promise<string>;
}

type Role = 'primary' | 'replica';
const ROLE_DEADLINE_MS = 30_000;

/**
 * The process that plays this role in the first shard of this cache now. On a machine that has too much to
 * do an engine may have been ended for its silence since all was whole: then its successor's turn has come.
 */
async function processOf(context: StepContext, cache: string, role: Role): Promise<number> {
  let pid = 0;
  await until(
    `${cache} has a ${role} that runs`,
    async () => {
      const shards = await context.service.api.shards(cache);
      const member = shards[0]?.instances.find((each) => each.role === role);
      pid = member?.instance.process?.pid ?? 0;
      return pid > 0;
    },
    ROLE_DEADLINE_MS,
  );
  return pid;
}

function kill(role: Role): Step['run'] {
  return async (context) => {
    const cache = context.random.pick(context.caches);
    const pid = await processOf(context, cache, role);
    await context.faults.kill(requireRef(pid));
    return `${cache}: ${role} killed (pid ${pid})`;
  };
}

function stop(role: Role, fromMs: number, toMs: number): Step['run'] {
  return async (context) => {
    const cache = context.random.pick(context.caches);
    const ms = context.random.between(fromMs, toMs);
    const pid = await processOf(context, cache, role);
    const fault = await context.faults.stop(requireRef(pid), ms);
    await fault.ended;
    return `${cache}: ${role} stopped for ${ms} ms (pid ${pid})`;
  };
}

function workers(service: OurService): number[] {
  return service
    .processes()
    .filter(({ command }) => /packages\/endpoint\/worker/.test(command))
    .map(({ pid }) => pid);
}

/** Full copies, and every slot twice, on a machine that carries the load as well. */
const MAINTAIN_DEADLINE_MS = 120_000;
export const SCALE_DEADLINE_MS = 5 * 60_000;

let extra = 0;

export const STEPS: readonly Step[] = [
  { name: 'kill-primary', weight: 4, run: kill('primary') },
  { name: 'kill-replica', weight: 3, run: kill('replica') },
  // Shorter than the deadline: nothing may happen but a pause.
  { name: 'pause-primary', weight: 2, run: stop('primary', 50, 600) },
  // Longer: it is fenced and replaced.
  { name: 'hang-primary', weight: 1, run: stop('primary', 2_000, 4_000) },
  { name: 'hang-replica', weight: 2, run: stop('replica', 500, 4_000) },
  {
    name: 'planned-failover',
    weight: 3,
    run: async ({ service, caches, random }) => {
      const cache = random.pick(caches);
      const { operation } = await service.api.failover(cache, {});
      await service.wait(operation);
      return `${cache}: the replicas took over`;
    },
  },
  {
    name: 'maintain',
    weight: 1,
    run: async ({ service, caches, random }) => {
      const cache = random.pick(caches);
      const { operation } = await service.api.maintain(cache);
      await service.wait(operation, MAINTAIN_DEADLINE_MS);
      return `${cache}: every process made anew`;
    },
  },
  {
    name: 'change-engine',
    weight: 1,
    run: async (context) => {
      const { service, older, random, faults } = context;
      const role = random.pick(['primary', 'replica'] as const);
      const afterMs = random.between(0, 4_000);
      if (older === null) return 'left out: there is no older engine';
      const phase = await upgradePhase(service, older);
      const { operation } = await service.api.upgrade(
        older,
        phase === 'open' ? { back: true } : {},
      );
      await sleep(afterMs);
      const pid = await processOf(context, older, role);
      await faults.kill(requireRef(pid));
      await service.wait(operation, MAINTAIN_DEADLINE_MS);
      const now = await upgradePhase(service, older);
      return `${older}: ${phase ?? 'none'} to ${now ?? 'none'}, a ${role} killed after ${afterMs} ms`;
    },
  },
  {
    name: 'kill-control',
    weight: 3,
    run: async ({ service }) => {
      await service.killControl();
      return `control killed, ready again after ${Math.round(await service.start())} ms`;
    },
  },
  {
    name: 'kill-primary-while-control-is-away',
    weight: 2,
    run: async (context) => {
      const cache = context.random.pick(context.caches);
      const pid = await processOf(context, cache, 'primary');
      await context.service.killControl();
      await context.faults.kill(requireRef(pid));
      const ms = Math.round(await context.service.start());
      return `${cache}: primary killed without a control process, ready after ${ms} ms`;
    },
  },
  {
    name: 'pause-control',
    weight: 1,
    run: async ({ service, faults, random }) => {
      const ms = random.between(200, 3_000);
      const fault = await faults.stop(service.control, ms);
      await fault.ended;
      return `control stopped for ${ms} ms`;
    },
  },
  {
    name: 'kill-worker',
    weight: 2,
    run: async ({ service, faults }) => {
      const [pid] = workers(service);
      if (pid === undefined) return 'there was no endpoint worker';
      await faults.kill(requireRef(pid));
      return `endpoint worker killed (pid ${pid})`;
    },
  },
  {
    name: 'create-and-delete',
    weight: 2,
    run: async ({ service, random }) => {
      extra += 1;
      const policy = random.pick(['EnterpriseCluster', 'NoCluster', 'OSSCluster'] as const);
      const highAvailability = random.below(2) === 0;
      const name = `extra-${extra}`;
      const { ms } = await service.create(name, { sku: 'Balanced_B0', policy, highAvailability });
      await service.remove(name);
      return `${name} (${policy}${highAvailability ? ', HA' : ''}) served after ${Math.round(ms)} ms, deleted`;
    },
  },
  {
    name: 'update',
    weight: 2,
    run: async ({ service, caches, random }) => {
      const cache = random.pick(caches);
      const evictionPolicy = random.pick(['VolatileLRU', 'NoEviction', 'VolatileTTL']);
      const { operation } = await service.api.patchDatabase(cache, {
        properties: { evictionPolicy },
      });
      await service.wait(operation);
      return `${cache}: eviction policy ${evictionPolicy}`;
    },
  },
  {
    name: 'rescale',
    weight: 2,
    run: async ({ service, caches, random }) => {
      const cache = random.pick(caches);
      const targets = (await service.api.scalingTargets(cache))
        .filter(({ fits }) => fits)
        .map(({ name }) => name);
      const some = ['Balanced_B1', 'Balanced_B3', 'Balanced_B5', 'ComputeOptimized_X3'];
      const possible = some.filter((each) => targets.includes(each));
      if (possible.length === 0) return `${cache}: no room for another SKU now`;
      const sku = random.pick(possible);
      const began = performance.now();
      const { operation } = await service.api.patchCluster(cache, { sku: { name: sku } });
      await service.wait(operation);
      const shards = (await service.api.shards(cache)).length;
      return `${cache}: ${sku}, ${shards} shards after ${Math.round(performance.now() - began)} ms`;
    },
  },
  {
    name: 'scale',
    weight: 1,
    run: async ({ service, clustered, random }) => {
      const cache = random.pick(clustered);
      const began = performance.now();
      // Two shards, then one again: slots travel under the load, there and back.
      for (const sku of ['Balanced_B3', 'Balanced_B1']) {
        const { operation } = await service.api.patchCluster(cache, { sku: { name: sku } });
        await service.wait(operation, SCALE_DEADLINE_MS);
      }
      return `${cache}: two shards and back in ${Math.round(performance.now() - began)} ms`;
    },
  },
  {
    name: 'regenerate-the-other-key',
    weight: 1,
    run: async ({ service, caches, random }) => {
      const cache = random.pick(caches);
      // The load logs in with the primary key, which must not notice.
      await service.api.regenerateKey(cache, 'Secondary', false);
      return `${cache}: secondary key regenerated`;
    },
  },
];

export function chooseStep(random: Random): Step {
  const total = STEPS.reduce((sum, step) => sum + step.weight, 0);
  let draw = random.below(total);
  for (const step of STEPS) {
    draw -= step.weight;
    if (draw < 0) return step;
  }
  throw new Error('weights are positive');
}
