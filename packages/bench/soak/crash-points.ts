/**
 * A life of a cache with the control process killed at one failpoint: created, written to, its
 * primary killed, deleted. Whatever the point, a control process that comes afterwards finishes the
 * work: the acknowledged write is there, and nothing is left behind.
 */

import {
  FAILPOINT_VARIABLE,
  FAILPOINTS,
  type Failpoint,
  STEPS,
} from '../../control/databases/failpoints.ts';
import type { Policy } from '../../endpoint/control-protocol.ts';
import { type OurService, trySet } from '../benches/our-service.ts';
import { Asker, type Target } from '../load/asker.ts';
import { inspectProcess, requireRef, signal, until } from '../processes.ts';
import { healed } from './watch.ts';

export { FAILPOINTS, STEPS };

export interface CrashOutcome {
  readonly point: Failpoint;
  /** Whether the life passed it, and the process died there. */
  readonly crashed: boolean;
}

const POLICIES: readonly Policy[] = ['EnterpriseCluster', 'NoCluster', 'OSSCluster'];
const STEP_DEADLINE_MS = 60_000;
const KEY = 'survivor';
const DEATH_NOTICE_MS = 500;

export async function crashAt(service: OurService, point: Failpoint): Promise<CrashOutcome> {
  const index = FAILPOINTS.indexOf(point);
  const name = `crash-${index}`;
  const policy = POLICIES[index % POLICIES.length] ?? 'EnterpriseCluster';
  if (service.runs) await service.killControl();
  await service.start({ [FAILPOINT_VARIABLE]: `${point}=crash` });
  let crashed = false;
  /** Tries again after a death of the control process, and only then. */
  const surviving = async <T>(work: () => Promise<T>): Promise<T> => {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        // Its API falls silent a moment before its end is known here.
        await until('it is dead', () => !service.runs, DEATH_NOTICE_MS).catch(() => undefined);
        if (service.runs || crashed) throw error;
        crashed = true;
        await service.start();
      }
    }
  };
  const target = await surviving(() => create(service, name, policy));
  await surviving(() => healed(service, [name]));
  const value = `${point} ${Date.now()}`;
  await write(target, value);
  await surviving(() => killPrimary(service, name));
  await surviving(() => healed(service, [name]));
  const kept = await read(await current(service, name, policy, target));
  if (kept !== value) throw new Error(`${point}: an acknowledged write became ${kept}`);
  await surviving(() => remove(service, name));
  const engines = service.engines();
  if (engines.length > 0) throw new Error(`${point}: ${engines.length} engines are left`);
  return { point, crashed: crashed || !service.runs };
}

/** Sends only what is not there yet: the first request may have been taken before the death. */
async function create(service: OurService, name: string, policy: Policy): Promise<Target> {
  const { api } = service;
  if ((await api.clusters()).every((cluster) => cluster.name !== name)) {
    const sku = { name: 'Balanced_B0' };
    const properties = {
      highAvailability: 'Enabled',
      minimumTlsVersion: '1.2',
      publicNetworkAccess: 'Enabled',
    };
    await api.putCluster(name, { location: 'local', sku, properties });
  }
  await state(name, async () => (await api.cluster(name)).properties.provisioningState);
  if ((await api.database(name)) === null) {
    const properties = {
      clientProtocol: 'Encrypted',
      clusteringPolicy: policy,
      accessKeysAuthentication: 'Enabled',
    };
    await api.putDatabase(name, { properties });
  }
  await state(name, async () => (await api.database(name))?.properties.provisioningState ?? '');
  const port = (await api.database(name))?.properties.port ?? 0;
  const { primaryKey } = await api.keys(name);
  const tls = { ca: api.control.caFile };
  const target = { host: '127.0.0.1', port, username: 'default', password: primaryKey, tls };
  return current(service, name, policy, target);
}

async function state(name: string, ask: () => Promise<string>): Promise<void> {
  let last = '';
  await until(
    `${name} is there`,
    async () => {
      last = await ask();
      if (last === 'Failed') throw new Error(`${name} failed`);
      return last === 'Succeeded';
    },
    STEP_DEADLINE_MS,
  ).catch((error: Error) => {
    throw new Error(`${error.message} (${last})`);
  });
}

/** Shards of OSSCluster are direct: after a failover another port serves. */
async function current(
  service: OurService,
  name: string,
  policy: Policy,
  target: Target,
): Promise<Target> {
  return policy === 'OSSCluster' ? { ...target, port: await shardPort(service, name) } : target;
}

async function shardPort(service: OurService, name: string): Promise<number> {
  const [shard] = await service.api.shards(name);
  const primary = shard?.instances.find((each) => each.instance.id === shard.shard.primary);
  if (primary === undefined) throw new Error(`${name} has no primary`);
  return primary.instance.port;
}

async function write(target: Target, value: string): Promise<void> {
  let refusal = '';
  await until('a write is acknowledged', async () => {
    refusal = await trySet(target, KEY, value);
    return refusal === '';
  }).catch((error: Error) => {
    throw new Error(`${error.message} (${refusal})`);
  });
}

async function read(target: Target): Promise<string> {
  let value = '';
  let refusal = '';
  await until('it is read back', async () => {
    try {
      const asker = await Asker.open(target);
      try {
        value = String(await asker.ask('GET', KEY));
        return true;
      } finally {
        asker.close();
      }
    } catch (error) {
      // The endpoint may be between two workers: asked again until the deadline.
      refusal = String(error);
      return false;
    }
  }).catch((error: Error) => {
    throw new Error(`${error.message} (port ${target.port}: ${refusal})`);
  });
  return value;
}

async function killPrimary(service: OurService, name: string): Promise<void> {
  const [shard] = await service.api.shards(name);
  const primary = shard?.instances.find((each) => each.instance.id === shard.shard.primary);
  const pid = primary?.instance.process?.pid;
  if (pid === undefined) throw new Error(`${name} has no primary that runs`);
  const ref = requireRef(pid);
  signal(ref, 'SIGKILL');
  // Until it is gone, everything still looks whole.
  await until('the primary is gone', () => inspectProcess(ref).state === 'gone');
}

async function remove(service: OurService, name: string): Promise<void> {
  const { api } = service;
  const there = async (): Promise<boolean> =>
    (await api.clusters()).some((cluster) => cluster.name === name);
  if (!(await there())) return;
  await api.deleteCluster(name).catch(() => undefined); // It is on its way already, or asked again.
  await until(`${name} is gone`, async () => !(await there()), STEP_DEADLINE_MS);
}
