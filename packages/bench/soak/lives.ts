/**
 * What the crash matrix plays: a life for each kind that the table of steps names. Its `act` may be
 * called again after the control process died under it, so it asks what is there already; and what
 * must hold afterwards is checked by `holds`, whatever happened in between.
 *
 * A new kind of life in the table (`control/databases/failpoints.ts`) needs an entry here: the
 * compiler asks for it.
 */
import assert from 'node:assert/strict';
import type { StepLife } from '../../control/databases/failpoints.ts';
import type { Policy } from '../../endpoint/control-protocol.ts';
import type { OurService } from '../benches/our-service.ts';
import { inspectProcess, requireRef, signal, until } from '../processes.ts';
import { createCache, GONE_DEADLINE_MS, knowsNewer, read, removeCache } from './cache.ts';
import { upgradePhase } from './older-engine.ts';

export interface Stage {
  readonly service: OurService;
  readonly name: string;
  readonly policy: Policy;
  /** Of this play alone: what must happen once. */
  readonly once: Set<string>;
}

export interface Life {
  /** Whether there is a cache before: whole, with an acknowledged write in it. */
  readonly cache: boolean;
  act(stage: Stage): Promise<void>;
  /** Throws when it is not so; the cache is whole when this is called, if there is one. */
  holds(stage: Stage, value: string): Promise<void>;
  /** Where only one policy passes these steps. */
  readonly policy?: Policy;
  /** The cache is made on an older engine than the one that is in use then. */
  readonly olderEngine?: true;
  /** The process is started with the failpoint, instead of being told of it. */
  readonly atStart?: true;
}

const SCALED_DEADLINE_MS = 60_000;
const NEWER_MS = 20_000;

async function keepsData(stage: Stage, value: string): Promise<void> {
  assert.equal(await read(stage.service, stage.name, stage.policy), value, 'an acknowledged write');
}

export const LIVES: Readonly<Record<Exclude<StepLife, 'rare'>, Life>> = {
  create: {
    cache: false,
    act: ({ service, name, policy }) => createCache(service, name, policy),
    holds: async () => undefined,
  },
  delete: {
    cache: true,
    act: ({ service, name }) => removeCache(service, name),
    holds: async ({ service }) => {
      assert.deepEqual(service.engines(), [], 'engines that are left');
    },
  },
  update: {
    cache: true,
    act: async ({ service, name }) => {
      const properties = { evictionPolicy: 'AllKeysLRU' };
      const { operation } = await service.api.patchDatabase(name, { properties });
      await service.wait(operation);
    },
    holds: async (stage, value) => {
      const database = await stage.service.api.database(stage.name);
      assert.equal(database?.properties.evictionPolicy, 'AllKeysLRU');
      assert.equal(database?.properties.provisioningState, 'Succeeded');
      await keepsData(stage, value);
    },
  },
  keys: {
    cache: true,
    act: async ({ service, name }) => {
      await service.api.regenerateKey(name, 'Secondary', false);
    },
    holds: async (stage, value) => {
      const { secondaryKey } = await stage.service.api.keys(stage.name);
      assert.equal(await read(stage.service, stage.name, stage.policy, secondaryKey), value);
    },
  },
  flush: {
    cache: true,
    act: async ({ service, name }) => {
      const { operation } = await service.api.flush(name);
      await service.wait(operation);
    },
    holds: async ({ service, name, policy }) => {
      assert.equal(await read(service, name, policy), 'null', 'what was flushed');
    },
  },
  failover: {
    cache: true,
    act: async ({ service, name, once }) => {
      if (!once.has('killed')) await killPrimary(service, name);
      once.add('killed');
    },
    holds: keepsData,
  },
  handover: {
    cache: true,
    act: async ({ service, name, once }) => {
      if (once.has('asked'))
        return void (await until(
          'no operation is open',
          () => nothingOpen(service),
          SCALED_DEADLINE_MS,
        ));
      const { operation } = await service.api.failover(name, {});
      once.add('asked');
      await service.wait(operation);
    },
    holds: keepsData,
  },
  maintain: {
    cache: true,
    act: async ({ service, name, once }) => {
      await until('no operation is open', () => nothingOpen(service), SCALED_DEADLINE_MS);
      if (once.has('asked')) return;
      const { operation } = await service.api.maintain(name);
      once.add('asked');
      await service.wait(operation);
    },
    holds: keepsData,
  },
  upgrade: {
    cache: true,
    olderEngine: true,
    act: async ({ service, name, once }) => {
      const step = async (key: string, body: UpgradeBody, reached: string): Promise<void> => {
        // Asked for before the process died: the next one goes on with it.
        await until('no operation is open', () => nothingOpen(service), SCALED_DEADLINE_MS);
        if (!once.has(key) && (await upgradePhase(service, name)) !== reached) {
          await service.wait((await service.api.upgrade(name, body)).operation);
        }
        once.add(key);
      };
      await step('up', {}, 'open');
      await step('back', { back: true }, 'returned');
      await step('again', {}, 'open');
      if ((await upgradePhase(service, name)) !== null) await service.api.finishUpgrade(name);
    },
    holds: async (stage, value) => {
      const { service, name, policy } = stage;
      assert.equal(await upgradePhase(service, name), null);
      const shards = await service.api.shards(name);
      const engines = shards.flatMap((each) => each.instances.map((i) => i.instance.engine));
      assert.ok(
        engines.every((engine) => engine.startsWith('valkey 9')),
        engines.join(),
      );
      await until('what is new may be used', () => knowsNewer(service, name, policy), NEWER_MS);
      await keepsData(stage, value);
    },
  },
  scale: {
    cache: true,
    policy: 'EnterpriseCluster',
    act: async ({ service, name, once }) => {
      for (const sku of ['Balanced_B3', 'Balanced_B0']) {
        if (once.has(sku)) continue;
        // Asked for before the process died: the next one goes on with it.
        await until('no operation is open', () => nothingOpen(service), SCALED_DEADLINE_MS);
        const { operation } = await service.api.patchCluster(name, { sku: { name: sku } });
        await service.wait(operation);
        once.add(sku);
      }
    },
    holds: async (stage, value) => {
      const shards = await stage.service.api.shards(stage.name);
      assert.equal(shards.length, 1, 'the shard that was added is gone');
      assert.deepEqual(shards[0]?.shard.slots, [[0, 16_383]]);
      await keepsData(stage, value);
    },
  },
  stop: {
    cache: true,
    act: async ({ service, once }) => {
      // Asked for once: whoever died in the middle of it is started again, and that is the end.
      if (once.has('asked')) return;
      once.add('asked');
      await service.stopInOrder();
      await service.start();
    },
    holds: keepsData,
  },
  restart: {
    cache: true,
    atStart: true,
    act: async () => undefined,
    holds: keepsData,
  },
};

type UpgradeBody = Parameters<OurService['api']['upgrade']>[1];

async function nothingOpen(service: OurService): Promise<boolean> {
  return (await service.api.operations(20)).every((operation) => operation.endedAt !== null);
}

async function killPrimary(service: OurService, name: string): Promise<void> {
  const [shard] = await service.api.shards(name);
  const primary = shard?.instances.find((each) => each.instance.id === shard.shard.primary);
  const pid = primary?.instance.process?.pid;
  if (pid === undefined) throw new Error(`${name} has no primary that runs`);
  const ref = requireRef(pid);
  signal(ref, 'SIGKILL');
  // Until it is gone, everything still looks whole.
  await until('the primary is gone', () => inspectProcess(ref).state === 'gone', GONE_DEADLINE_MS);
}

export const LIFE_NAMES = Object.keys(LIVES);
