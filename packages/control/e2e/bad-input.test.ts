/** Bad input over HTTP: each gets a named error that says what to do, and changes nothing. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { Service } from './service.ts';

const service = new Service({ miniature: { memoryDivisor: 16, maxShards: 2 } });
before(async () => {
  await service.up();
  await service.create('there', { ha: false });
});
after(() => service.close());

const CLUSTER = {
  location: 'local',
  sku: { name: 'Balanced_B0' },
  properties: { highAvailability: 'Disabled', publicNetworkAccess: 'Enabled' },
};
const keysOn = (properties: object) => ({
  properties: { accessKeysAuthentication: 'Enabled', ...properties },
});

interface Row {
  readonly what: string;
  readonly method: string;
  readonly path: (service: Service) => string;
  readonly body?: unknown;
  readonly query?: string;
  readonly headers?: Record<string, string>;
  readonly status: number;
  readonly code: string;
  /** What the message must name. */
  readonly says: RegExp;
}

const at = (name: string) => (s: Service) => s.cluster(name);
const there = (s: Service) => s.database('there');

const ROWS: readonly Row[] = [
  // Names.
  {
    what: 'a name with two hyphens',
    method: 'PUT',
    path: at('a--b'),
    body: CLUSTER,
    status: 400,
    code: 'InvalidResourceName',
    says: /a--b|hyphen/,
  },
  {
    what: 'a name of 61 letters',
    method: 'PUT',
    path: at('a'.repeat(61)),
    body: CLUSTER,
    status: 400,
    code: 'InvalidResourceName',
    says: /60/,
  },
  {
    what: 'a name with a dot',
    method: 'PUT',
    path: at('a.b'),
    body: CLUSTER,
    status: 400,
    code: 'InvalidResourceName',
    says: /letters|a\.b/,
  },
  {
    what: 'a database of another name',
    method: 'PUT',
    path: (s) => s.database('there').replace(/default$/, 'other'),
    body: keysOn({}),
    status: 400,
    code: 'InvalidResourceName',
    says: /default/,
  },
  // SKUs.
  {
    what: 'an unknown SKU',
    method: 'PUT',
    path: at('n1'),
    body: { ...CLUSTER, sku: { name: 'Balanced_B7' } },
    status: 400,
    code: 'InvalidSku',
    says: /Balanced_B7/,
  },
  {
    what: 'no SKU',
    method: 'PUT',
    path: at('n1'),
    body: { location: 'local', properties: CLUSTER.properties },
    status: 400,
    code: 'InvalidRequestContent',
    says: /sku/,
  },
  {
    what: 'a flash SKU',
    method: 'PUT',
    path: at('n1'),
    body: { ...CLUSTER, sku: { name: 'FlashOptimized_A500' } },
    status: 501,
    code: 'FlashNotBuilt',
    says: /Memory Optimized/,
  },
  {
    what: 'a capacity where there is none',
    method: 'PUT',
    path: at('n1'),
    body: { ...CLUSTER, sku: { name: 'Balanced_B0', capacity: 2 } },
    status: 400,
    code: 'InvalidSkuCapacity',
    says: /capacity/,
  },
  // Policies and other properties.
  {
    what: 'an unknown policy',
    method: 'PATCH',
    path: there,
    body: keysOn({ clusteringPolicy: 'Sharded' }),
    status: 400,
    code: 'InvalidRequestContent',
    says: /clusteringPolicy/,
  },
  {
    what: 'another policy afterwards',
    method: 'PATCH',
    path: there,
    body: { properties: { clusteringPolicy: 'NoCluster' } },
    status: 400,
    code: 'InvalidParameter',
    says: /clusteringPolicy/,
  },
  {
    what: 'an unknown eviction policy',
    method: 'PATCH',
    path: there,
    body: { properties: { evictionPolicy: 'Sometimes' } },
    status: 400,
    code: 'InvalidRequestContent',
    says: /evictionPolicy/,
  },
  {
    what: 'keyspace events that do not exist',
    method: 'PATCH',
    path: there,
    body: { properties: { notifyKeyspaceEvents: 'Q' } },
    query: 'api-version=2026-05-01-preview',
    status: 400,
    code: 'InvalidParameter',
    says: /notifyKeyspaceEvents/,
  },
  {
    what: 'persistence',
    method: 'PATCH',
    path: there,
    body: { properties: { persistence: { aofEnabled: true } } },
    status: 501,
    code: 'NotImplemented',
    says: /[Pp]ersistence/,
  },
  {
    what: 'modules',
    method: 'PATCH',
    path: there,
    body: { properties: { modules: [{ name: 'RediSearch' }] } },
    status: 501,
    code: 'NotImplemented',
    says: /RediSearch/,
  },
  // Ports.
  {
    what: 'a port of text',
    method: 'PATCH',
    path: there,
    body: { properties: { port: 'ten' } },
    status: 400,
    code: 'InvalidRequestContent',
    says: /port/,
  },
  {
    what: 'another port afterwards',
    method: 'PATCH',
    path: there,
    body: { properties: { port: 12_345 } },
    status: 400,
    code: 'InvalidParameter',
    says: /12345/,
  },
  // Bodies and types.
  {
    what: 'half a document',
    method: 'PUT',
    path: at('n1'),
    body: '{"location":',
    status: 400,
    code: 'InvalidRequestContent',
    says: /JSON/i,
  },
  {
    what: 'a list',
    method: 'PUT',
    path: at('n1'),
    body: [],
    status: 400,
    code: 'InvalidRequestContent',
    says: /object/,
  },
  {
    what: 'a number for a location',
    method: 'PUT',
    path: at('n1'),
    body: { ...CLUSTER, location: 7 },
    status: 400,
    code: 'InvalidRequestContent',
    says: /location/,
  },
  {
    what: 'no location',
    method: 'PUT',
    path: at('n1'),
    body: { sku: CLUSTER.sku, properties: CLUSTER.properties },
    status: 400,
    code: 'LocationRequired',
    says: /location/,
  },
  {
    what: 'a body of another type',
    method: 'PUT',
    path: at('n1'),
    body: 'location=local',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    status: 415,
    code: 'UnsupportedMediaType',
    says: /json/i,
  },
  {
    what: 'a key that does not exist',
    method: 'POST',
    path: (s) => `${s.database('there')}/regenerateKey`,
    body: { keyType: 'Third' },
    status: 400,
    code: 'InvalidRequestContent',
    says: /keyType/,
  },
  // Versions, tokens, paths.
  {
    what: 'no api-version',
    method: 'GET',
    path: at('there'),
    query: '',
    status: 400,
    code: 'MissingApiVersionParameter',
    says: /api-version/,
  },
  {
    what: 'an unknown api-version',
    method: 'GET',
    path: at('there'),
    query: 'api-version=1999-01-01',
    status: 400,
    code: 'NoRegisteredProviderFound',
    says: /1999-01-01/,
  },
  {
    what: 'a wrong token',
    method: 'GET',
    path: at('there'),
    headers: { authorization: 'Bearer nonsense' },
    status: 401,
    code: 'InvalidAuthenticationToken',
    says: /token/i,
  },
  {
    what: 'a cluster that is not there',
    method: 'GET',
    path: at('nobody'),
    status: 404,
    code: 'ResourceNotFound',
    says: /nobody/,
  },
  {
    what: 'a database without its cluster',
    method: 'PUT',
    path: (s) => s.database('nobody'),
    body: keysOn({}),
    status: 404,
    code: 'ParentResourceNotFound',
    says: /nobody/,
  },
  {
    what: 'a method that is not there',
    method: 'POST',
    path: at('there'),
    body: {},
    status: 405,
    code: 'HttpMethodNotSupported',
    says: /Allowed: GET, PUT/,
  },
];

/** Everything a refusal could have changed. */
async function world(): Promise<string> {
  const [cluster, database, shards, operations] = await Promise.all([
    service.call('GET', service.cluster('').replace(/\/$/, '')),
    service.call('GET', service.database('there')),
    service.shards('there'),
    service.call('GET', '/cinnabar/operations'),
  ]);
  const engines = shards.flatMap((s) => s.instances.map((i) => i.instance));
  return JSON.stringify([
    cluster.body,
    database.body,
    engines.map((i) => [i.id, i.phase, i.process]),
    operations.body,
  ]);
}

test('each row of the table', async (t) => {
  const first = await world();
  for (const row of ROWS) {
    await t.test(row.what, async () => {
      const answer = await service.call(row.method, row.path(service), row.body, {
        ...(row.query === undefined ? {} : { query: row.query }),
        ...(row.headers === undefined ? {} : { headers: row.headers }),
      });
      assert.deepEqual(
        [answer.status, answer.body?.error?.code],
        [row.status, row.code],
        answer.text,
      );
      assert.match(answer.body.error.message, row.says);
      assert.equal(await world(), first, 'something changed');
    });
  }
});

test('a port that a stranger holds: 409 with a free one, and that one works', async () => {
  const stranger = createServer();
  await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
  const address = stranger.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  try {
    const cluster = await service.putCluster('ported', { ha: false });
    assert.equal(cluster.status, 201, cluster.text);
    const database = () => service.putDatabase('ported', { database: { port } });
    const refused = await database();
    assert.equal(refused.status, 409, refused.text);
    const free = Number(/\b(\d{4,5})\b(?!.*\b\d{4,5}\b)/.exec(refused.body.error.message)?.[1]);
    assert.notEqual(free, port, refused.text);
    const made = await service.putDatabase('ported', { database: { port: free } });
    assert.equal(made.status, 201, made.text);
    await service.settled('ported');
    assert.equal(await service.port('ported'), free);
  } finally {
    stranger.close();
  }
});

test('a port that was chosen, and taken before the cache served: another one is', async () => {
  assert.equal((await service.putCluster('overtaken', { ha: false })).status, 201);
  const made = await service.putDatabase('overtaken');
  assert.equal(made.status, 201, made.text);
  const { port } = made.body.properties;
  const stranger = createServer();
  await new Promise<void>((resolve) => stranger.listen(port, '127.0.0.1', resolve));
  try {
    const ended = await service.settled('overtaken');
    assert.ok(ended.every((each) => each.status === 'Succeeded'));
    assert.notEqual(await service.port('overtaken'), port);
    const { body } = await service.call('GET', service.database('overtaken'));
    const warned = body.properties.cinnabar.warnings.map((each: { code: string }) => each.code);
    assert.ok(!warned.includes('unreachable'), 'it can be reached');
  } finally {
    stranger.close();
  }
});

test('a second write while one is under way: 409, and the first one ends well', async () => {
  const cluster = await service.putCluster('busy', { ha: false });
  assert.equal(cluster.status, 201, cluster.text);
  assert.equal((await service.putDatabase('busy')).status, 201);
  const second = await service.call('PATCH', service.database('busy'), {
    properties: { evictionPolicy: 'NoEviction' },
  });
  assert.equal(second.status, 409, second.text);
  assert.match(second.body.error.code, /Conflict|OperationNotAllowed|AnotherOperationInProgress/);
  const ended = await service.settled('busy');
  assert.ok(ended.every((each) => each.status === 'Succeeded'));
  const { properties } = (await service.call('GET', service.database('busy'))).body;
  assert.equal(properties.evictionPolicy, 'VolatileLRU');
});
