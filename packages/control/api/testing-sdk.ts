/**
 * For the test beside it: Microsoft's own client library, in a process of its own, because the only
 * way to make Node trust another root is an environment variable that is read at its start.
 *
 * Usage: node testing-sdk.ts <endpoint> <subscription>, secret in CINNABAR_TOKEN. Prints one JSON
 * document of what it saw.
 */
import { RedisEnterpriseManagementClient } from '@azure/arm-redisenterprisecache';

const [endpoint = '', subscription = ''] = process.argv.slice(2);
const GROUP = 'default';
const NAME = 'sdk-cache';

/** As @azure/identity does it for a service principal. */
async function getToken(scopes: string | string[]) {
  const discovery = await fetch(`${endpoint}/my-tenant/v2.0/.well-known/openid-configuration`);
  const { token_endpoint } = (await discovery.json()) as { token_endpoint: string };
  const answer = await fetch(`${token_endpoint}?client-request-id=1`, {
    method: 'POST',
    body: new URLSearchParams({
      client_id: 'my-app',
      client_secret: process.env['CINNABAR_TOKEN'] ?? '',
      grant_type: 'client_credentials',
      scope: [scopes].flat().join(' '),
      client_info: '1',
    }),
  });
  const { access_token, expires_in } = (await answer.json()) as {
    access_token: string;
    expires_in: number;
  };
  return { token: access_token, expiresOnTimestamp: Date.now() + expires_in * 1000 };
}

const client = new RedisEnterpriseManagementClient({ getToken }, subscription, { endpoint });
const seen: Record<string, unknown> = {};
const fast = { updateIntervalInMs: 20 };

async function failure(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
    return 'no error';
  } catch (error) {
    const { code, statusCode, message } = error as {
      code?: string;
      statusCode?: number;
      message: string;
    };
    return { code, statusCode, message };
  }
}

const cluster = await client.redisEnterprise.beginCreateAndWait(
  GROUP,
  NAME,
  { location: 'West US 3', sku: { name: 'Balanced_B1' }, tags: { a: '1' } },
  fast,
);
seen['cluster'] = [
  cluster.name,
  cluster.provisioningState,
  cluster.resourceState,
  cluster.hostName,
];

const database = await client.databases.beginCreateAndWait(
  GROUP,
  NAME,
  'default',
  { clusteringPolicy: 'EnterpriseCluster', evictionPolicy: 'NoEviction' },
  fast,
);
seen['database'] = [database.name, database.provisioningState, database.clusteringPolicy];

const names: (string | undefined)[] = [];
for await (const each of client.redisEnterprise.list()) names.push(each.name);
seen['list'] = names;
const databases: (string | undefined)[] = [];
for await (const each of client.databases.listByCluster(GROUP, NAME)) databases.push(each.id);
seen['databases'] = databases;

const updated = await client.redisEnterprise.beginUpdateAndWait(
  GROUP,
  NAME,
  { tags: { b: '2' } },
  fast,
);
seen['updated'] = [updated.tags, updated.provisioningState];
const changed = await client.databases.beginUpdateAndWait(
  GROUP,
  NAME,
  'default',
  { evictionPolicy: 'AllKeysLRU' },
  fast,
);
seen['changed'] = [changed.evictionPolicy, changed.provisioningState];

const keys = await client.databases.listKeys(GROUP, NAME, 'default');
const other = await client.databases.beginRegenerateKeyAndWait(
  GROUP,
  NAME,
  'default',
  { keyType: 'Primary' },
  fast,
);
seen['keys'] = [
  keys.primaryKey?.length,
  keys.primaryKey !== other.primaryKey,
  keys.secondaryKey === other.secondaryKey,
];

const poller = await client.redisEnterprise.beginUpdate(GROUP, NAME, { tags: {} }, fast);
await poller.pollUntilDone();
seen['completed'] = poller.getOperationState().isCompleted;

const operations: (string | undefined)[] = [];
for await (const each of client.operations.list()) operations.push(each.name);
seen['operations'] = operations.length;
seen['connections'] = (await client.privateLinkResources.listByCluster(GROUP, NAME).next()).done;

seen['absent'] = await failure(client.redisEnterprise.get(GROUP, 'absent'));
seen['notBuilt'] = await failure(
  client.databases.beginExportAndWait(GROUP, NAME, 'default', { sasUri: 'https://x' }, fast),
);
seen['failed'] = await failure(
  client.redisEnterprise.beginCreateAndWait(
    GROUP,
    'will-fail',
    { location: 'local', sku: { name: 'Balanced_B0' } },
    fast,
  ),
);
await client.redisEnterprise.beginDeleteAndWait(GROUP, 'will-fail', fast);

await client.databases.beginDeleteAndWait(GROUP, NAME, 'default', fast);
await client.redisEnterprise.beginDeleteAndWait(GROUP, NAME, fast);
seen['gone'] = await failure(client.redisEnterprise.get(GROUP, NAME));
console.log(JSON.stringify(seen));
