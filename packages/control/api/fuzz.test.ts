/**
 * Whatever is sent, the answer is ARM's and never "something failed": no 500, no hang, no answer of
 * the framework, and the process lives.
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { CLUSTER, openCalls, until, V } from './testing-calls.ts';
import { type Answer, TOKEN } from './testing-rig.ts';
import { API_VERSIONS } from './versions.ts';

const { rig, cluster, database, makeCache, group } = await openCalls();
after(() => rig.close());
const name = await makeCache();
const { port } = new URL(rig.api.http ?? '');

const METHODS = ['GET', 'HEAD', 'PUT', 'PATCH', 'POST', 'DELETE', 'OPTIONS', 'PROPFIND', 'TRACE'];
/** A socket that is silent for so long is a hang. */
const ANSWER_MS = 15_000;
const RUNS = { numRuns: 250 };

function check(answer: Answer, what: unknown): void {
  assert.ok(
    answer.status !== 500 && answer.status >= 200,
    `${answer.status} ${answer.text} ${JSON.stringify(what)}`,
  );
  assert.match(answer.headers['x-ms-request-id'] ?? '', /^[0-9a-f-]{36}$/);
  if (answer.status >= 400 && answer.text !== '') {
    const error = answer.body?.error;
    // The token server speaks OAuth's error document.
    if (typeof error === 'string') return;
    assert.equal(typeof error?.code, 'string', answer.text);
    assert.ok(!/^FST_/.test(error.code), answer.text);
  }
}

const word = fc.constantFrom(
  'subscriptions',
  rig.sub,
  'resourceGroups',
  'default',
  'providers',
  'Microsoft.Cache',
  'redisEnterprise',
  name,
  'databases',
  'listKeys',
  'regenerateKey',
  'flush',
  'locations',
  'operationsStatus',
  'operationresults',
  'cinnabar',
  'events',
  'metadata',
  'endpoints',
  'adfs',
  'oauth2',
  'token',
  'tags',
  'Microsoft.Resources',
  'resources',
  '',
  '.',
  '..',
  '%2e%2e',
  '%2F',
  '%00',
  '%',
  '%zz',
  '%E0%A4',
  '*',
  ':cluster',
  '__proto__',
  'constructor',
);
const segment = fc.oneof(
  { weight: 4, arbitrary: word },
  { weight: 1, arbitrary: fc.string({ maxLength: 40 }).map(encodeURIComponent) },
);
const query = fc.oneof(
  fc.constant(''),
  fc.constantFrom(...API_VERSIONS).map((each) => `api-version=${each}`),
  fc
    .array(
      fc.tuple(
        fc.constantFrom(
          'api-version',
          '$top',
          '$skiptoken',
          '$filter',
          'cluster',
          'since',
          'top',
          'x',
        ),
        fc.string({ maxLength: 20 }),
      ),
      { maxLength: 4 },
    )
    .map((pairs) => pairs.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join('&')),
);

test('any path, query and method', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...METHODS),
      fc.array(segment, { maxLength: 12 }),
      query,
      async (method, segments, search) => {
        // The database must stay, or the rest of the run is about nothing.
        const path = `/${segments.join('/')}`;
        if (method === 'DELETE' || /stop/i.test(path)) return;
        check(await rig.call(method, `${path}?${search}`), [method, path, search]);
      },
    ),
    RUNS,
  );
});

/** Fields that mean something, with values that may not. */
const value = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom(
    'Enabled',
    'Balanced_B1',
    'westus3',
    'NoCluster',
    '',
    '\u0000',
    'a'.repeat(5_000),
  ),
  fc.constantFrom(-1, 0, 1e308, 2 ** 53, 10_000),
);
const property = fc.constantFrom(
  'clientProtocol',
  'port',
  'clusteringPolicy',
  'evictionPolicy',
  'persistence',
  'modules',
  'geoReplication',
  'accessKeysAuthentication',
  'notifyKeyspaceEvents',
  'cinnabar',
  'encryption',
  'publicNetworkAccess',
  'highAvailability',
  'minimumTlsVersion',
  'firewallRules',
  'maintenanceConfiguration',
  'tags',
  '__proto__',
  'toString',
  'keyType',
  'ids',
);
const field = fc.constantFrom(
  'location',
  'sku',
  'tags',
  'zones',
  'identity',
  'properties',
  'kind',
  'id',
  'keyType',
  'disconnect',
  'ids',
  'name',
  'type',
  'operation',
  '__proto__',
  'hasOwnProperty',
);
const inner = fc.dictionary(property, value, { maxKeys: 4 });
const body = fc.oneof(
  { weight: 1, arbitrary: fc.jsonValue() },
  { weight: 4, arbitrary: fc.dictionary(field, fc.oneof(value, inner), { maxKeys: 5 }) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(inner, fc.dictionary(field, value, { maxKeys: 2 }))
      .map(([properties, more]) => ({
        ...CLUSTER,
        ...more,
        properties: { ...CLUSTER.properties, ...properties },
      })),
  },
);

/** Everything that a write can change; without what changes by itself. */
function desired(): string {
  const { store } = rig;
  return JSON.stringify([store.groups(), store.clusters(), store.databases(), store.ports()]);
}

/** What was accepted has ended: a busy resource would refuse the rest of the run. */
function settled(): Promise<void> {
  return until(async () => rig.store.openOperations().length === 0);
}

let accepted = 0;

test('any body, on everything that reads one', async () => {
  const target = fc.constantFrom(
    ['PUT', cluster('fuzzed')],
    ['PATCH', cluster('fuzzed')],
    ['PUT', database('fuzzed')],
    ['PATCH', database('fuzzed')],
    ['PUT', database(name)],
    ['PATCH', database(name)],
    ['PUT', cluster(name)],
    ['PATCH', cluster(name)],
    ['POST', `${database(name)}/regenerateKey`],
    ['POST', `${database(name)}/flush`],
    ['PUT', group('fuzzed')],
    ['PATCH', group('default')],
    ['PATCH', `${cluster(name)}/providers/Microsoft.Resources/tags/default`],
    ['POST', `/subscriptions/${rig.sub}/providers/Microsoft.Cache/checkNameAvailability`],
  );
  const version = fc.constantFrom(...API_VERSIONS);
  await fc.assert(
    fc.asyncProperty(target, version, body, async ([method = '', path = ''], api, sent) => {
      const before = desired();
      const answer = await rig.call(method, `${path}?api-version=${api}`, { body: sent });
      check(answer, sent);
      accepted += answer.status < 300 ? 1 : 0;
      if (answer.status >= 400) assert.equal(desired(), before, `${answer.text} changed something`);
      await settled();
      // What was stored, if it was, can be shown in every version.
      for (const shown of [cluster('fuzzed'), database('fuzzed'), cluster(name), database(name)]) {
        check(await rig.call('GET', `${shown}?${V}`), sent);
      }
    }),
    RUNS,
  );
  assert.ok(accepted > 10, `only ${accepted} were accepted: the run was about nothing`);
});

test('any bytes as a body, of any type', async () => {
  const type = fc.constantFrom(
    'application/json',
    'text/xml',
    '',
    'x',
    'application/x-www-form-urlencoded',
    'application/json; charset=utf-16',
  );
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), type, async (bytes, contentType) => {
      for (const path of [cluster('raw'), '/t/oauth2/v2.0/token']) {
        const headers = { 'content-type': contentType };
        const method = path.startsWith('/t/') ? 'POST' : 'PUT';
        check(
          await rig.call(method, `${path}?${V}`, { raw: Buffer.from(bytes), headers }),
          contentType,
        );
      }
    }),
    { numRuns: 100 },
  );
});

test('any Authorization header', async () => {
  const header = fc.oneof(
    fc.string({ maxLength: 60, unit: 'grapheme-ascii' }),
    fc
      .array(fc.base64String({ maxLength: 40 }), { maxLength: 4 })
      .map((parts) => `Bearer ${parts.join('.')}`),
    fc.constant(`Bearer ${TOKEN}x`),
    fc.constant(`Basic ${TOKEN}`),
  );
  await fc.assert(
    fc.asyncProperty(header, async (authorization) => {
      const answer = await rig.call('GET', `/subscriptions?${V}`, {
        token: null,
        headers: { authorization },
      });
      assert.equal(answer.status, 401, answer.text);
    }),
    { numRuns: 150 },
  );
});

/** What Node refuses before it is a request: the answer is JSON, too, and the connection ends. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), '127.0.0.1', () => socket.end(text));
    let answer = '';
    socket.setTimeout(ANSWER_MS, () =>
      socket.destroy(new Error(`no answer to ${text.slice(0, 80)}`)),
    );
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
  });
}

test('what is not HTTP', async () => {
  for (const text of [
    'nonsense\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    `GET / HTTP/1.1\r\nHost: x\r\nA: ${'b'.repeat(20_000)}\r\n\r\n`,
  ]) {
    const answer = await raw(text);
    assert.match(answer, /^HTTP\/1\.1 4\d\d /);
    assert.match(answer, /\{"error":\{"code":"[A-Za-z]+"/);
  }
  const expecting = await raw(
    'GET /subscriptions HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\nConnection: close\r\n\r\n',
  );
  assert.match(expecting, /^HTTP\/1\.1 417 [\s\S]*ExpectationFailed/);
  assert.equal((await rig.call('GET', `/subscriptions?${V}`)).status, 200);
});
