/** One cache with one write in it: made, read and removed, each so that it can be asked for again. */
import type { Policy } from '../../endpoint/control-protocol.ts';
import { type OurService, trySet } from '../benches/our-service.ts';
import { Asker, type Target } from '../load/asker.ts';
import { until } from '../processes.ts';

/** A machine that does other things, too. */
const STATE_DEADLINE_MS = 90_000;
export const GONE_DEADLINE_MS = 20_000;
const KEY = 'survivor';

/** Sends only what is not there yet: the first request may have been taken before a death. */
export async function createCache(
  service: OurService,
  name: string,
  policy: Policy,
): Promise<void> {
  const { api } = service;
  if (!(await exists(service, name))) {
    await api.putCluster(name, {
      location: 'local',
      sku: { name: 'Balanced_B0' },
      properties: {
        highAvailability: 'Enabled',
        minimumTlsVersion: '1.2',
        publicNetworkAccess: 'Enabled',
      },
    });
  }
  await state(name, async () => (await api.cluster(name)).properties.provisioningState);
  if ((await api.database(name)) === null) {
    await api.putDatabase(name, {
      properties: {
        clientProtocol: 'Encrypted',
        clusteringPolicy: policy,
        accessKeysAuthentication: 'Enabled',
      },
    });
  }
  await state(name, async () => (await api.database(name))?.properties.provisioningState ?? '');
}

/** A create that failed is rolled back: the error says so, and the user asks again. */
export class CreateFailed extends Error {
  override readonly name = 'CreateFailed';
}

async function state(name: string, ask: () => Promise<string>): Promise<void> {
  let last = '';
  await until(
    `${name} is there`,
    async () => {
      last = await ask();
      if (last === 'Failed') throw new CreateFailed(`${name} failed`);
      return last === 'Succeeded';
    },
    STATE_DEADLINE_MS,
  ).catch((error: Error) => {
    if (error instanceof CreateFailed) throw error;
    throw new Error(`${error.message} (${last})`);
  });
}

async function exists(service: OurService, name: string): Promise<boolean> {
  return (await service.api.clusters()).some((cluster) => cluster.name === name);
}

export async function removeCache(service: OurService, name: string): Promise<void> {
  if (!(await exists(service, name))) return;
  await service.api.deleteCluster(name).catch(() => undefined); // It is on its way already, or asked again.
  await until(`${name} is gone`, async () => !(await exists(service, name)), STATE_DEADLINE_MS);
}

/** Shards of OSSCluster are direct: after a failover another port serves. */
async function target(
  service: OurService,
  name: string,
  policy: Policy,
  key?: string,
): Promise<Target> {
  const { api } = service;
  const port =
    policy === 'OSSCluster'
      ? await shardPort(service, name)
      : ((await api.database(name))?.properties.port ?? 0);
  const password = key ?? (await api.keys(name)).primaryKey;
  const tls = { ca: api.control.caFile };
  return { host: '127.0.0.1', port, username: 'default', password, tls };
}

async function shardPort(service: OurService, name: string): Promise<number> {
  const [shard] = await service.api.shards(name);
  const primary = shard?.instances.find((each) => each.instance.id === shard.shard.primary);
  if (primary === undefined) throw new Error(`${name} has no primary`);
  return primary.instance.port;
}

export async function write(
  service: OurService,
  name: string,
  policy: Policy,
  value: string,
): Promise<void> {
  const to = await target(service, name, policy);
  let refusal = '';
  await until(
    'a write is acknowledged',
    async () => {
      refusal = await trySet(to, KEY, value);
      return refusal === '';
    },
    GONE_DEADLINE_MS,
  ).catch((error: Error) => {
    throw new Error(`${error.message} (${refusal})`);
  });
}

/** 'null' when it is not there. `key`: log in with this one. */
export async function read(
  service: OurService,
  name: string,
  policy: Policy,
  key?: string,
): Promise<string> {
  let value = '';
  let refusal = '';
  await until(
    'it is read back',
    async () => {
      try {
        const asker = await Asker.open(await target(service, name, policy, key));
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
    },
    GONE_DEADLINE_MS,
  ).catch((error: Error) => {
    throw new Error(`${error.message} (${name}: ${refusal})`);
  });
  return value;
}

/** Whether a command of Valkey 9 is executed. */
export async function knowsNewer(
  service: OurService,
  name: string,
  policy: Policy,
): Promise<boolean> {
  const asker = await Asker.open(await target(service, name, policy));
  try {
    const line = ['HSETEX', 'newer', 'EX', '900', 'FIELDS', '1', 'f', 'v'];
    return Number(await asker.ask(...line)) === 1;
  } catch {
    return false;
  } finally {
    asker.close();
  }
}
