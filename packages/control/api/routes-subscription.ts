/** Subscriptions, tenants, locations, providers, names: what clients ask before the resource. */

import { ControlError } from '../errors.ts';
import type { Answer } from './answer.ts';
import { notImplemented, ok } from './answer.ts';
import { type Call, param } from './call.ts';
import { page } from './paging.ts';
import { REGIONS } from './regions.ts';
import type { Route } from './router.ts';
import { API_VERSIONS, BASE_VERSION } from './versions.ts';

const SUB = '/subscriptions/:sub';

export const SUBSCRIPTION_ROUTES: readonly Route[] = [
  core('GET', '/subscriptions', (call) =>
    ok({ value: [subscriptionView(call)], count: { type: 'Total', value: 1 } }),
  ),
  core('GET', '/tenants', (call) => ok({ value: [tenantView(call)] })),
  core('GET', SUB, (call) => ok(subscriptionView(call))),
  core('GET', `${SUB}/locations`, (call) =>
    ok({ value: REGIONS.map((region) => regionView(call, region)) }),
  ),
  core('GET', '/providers', (call) => ok({ value: providers('').map((p) => p(call)) })),
  core('GET', '/providers/:namespace', (call) => ok(provider(call, ''))),
  core('GET', `${SUB}/providers`, (call) => {
    return ok({ value: providers(groupless(call)).map((p) => p(call)) });
  }),
  core('GET', `${SUB}/providers/:namespace`, (call) => ok(provider(call, groupless(call)))),
  core('POST', `${SUB}/providers/:namespace/register`, (call) =>
    ok(provider(call, groupless(call))),
  ),
  core('POST', `${SUB}/providers/:namespace/unregister`, (call) =>
    ok(provider(call, groupless(call))),
  ),
  core('POST', '/providers/Microsoft.Resources/validateResources', () =>
    notImplemented(
      'Checking templates before they are sent is not built. Send the resource itself.',
    ),
  ),
  provided('GET', '/providers/Microsoft.Cache/operations', (call) =>
    page(
      call,
      OPERATIONS,
      ([name]) => name,
      ([name, resource, operation]) => ({
        name,
        isDataAction: false,
        display: { provider: 'Cinnabar', resource, operation, description: operation },
        origin: 'user,system',
      }),
    ),
  ),
  provided('POST', `${SUB}/providers/Microsoft.Cache/checkNameAvailability`, checkName),
  provided(
    'POST',
    `${SUB}/providers/Microsoft.Cache/locations/:location/checkNameAvailability`,
    checkName,
  ),
];

function core(method: Route['method'], path: string, handle: Route['handle']): Route {
  return { method, path, kind: 'core', handle };
}

function provided(method: Route['method'], path: string, handle: Route['handle']): Route {
  return { method, path, kind: 'provider', handle };
}

function groupless(call: Call): string {
  return `/subscriptions/${call.service.subscriptionId}`;
}

function subscriptionView(call: Call): Record<string, unknown> {
  const id = call.service.subscriptionId;
  return {
    id: `/subscriptions/${id}`,
    subscriptionId: id,
    tenantId: call.context.identity.tenantId,
    displayName: 'Cinnabar',
    state: 'Enabled',
    subscriptionPolicies: {
      locationPlacementId: 'Public_2014-09-01',
      quotaId: 'PayAsYouGo_2014-09-01',
      spendingLimit: 'Off',
    },
    authorizationSource: 'RoleBased',
    managedByTenants: [],
    tags: {},
  };
}

function tenantView(call: Call): Record<string, unknown> {
  const { tenantId } = call.context.identity;
  return {
    id: `/tenants/${tenantId}`,
    tenantId,
    countryCode: '',
    displayName: 'Cinnabar',
    domains: ['localhost'],
    defaultDomain: 'localhost',
    tenantCategory: 'Home',
    tenantType: 'AAD',
  };
}

function regionView(call: Call, region: (typeof REGIONS)[number]): Record<string, unknown> {
  const { name, displayName } = region;
  return {
    id: `/subscriptions/${call.service.subscriptionId}/locations/${name}`,
    type: 'Region',
    name,
    displayName,
    regionalDisplayName: displayName,
    metadata: { regionType: 'Physical', regionCategory: 'Recommended' },
  };
}

const LOCATIONS = REGIONS.map((region) => region.displayName);
/** Core answers any well-formed version; these are named to clients that ask for a list. */
const CORE_VERSIONS = ['2024-11-01', '2022-12-01', '2022-09-01', '2021-04-01', '2019-11-01'];

function types(
  names: readonly string[],
  apiVersions: readonly string[],
  defaultApiVersion: string,
): unknown[] {
  return names.map((resourceType) => ({
    resourceType,
    locations: LOCATIONS,
    apiVersions,
    defaultApiVersion,
    capabilities: 'SupportsTags, SupportsLocation',
  }));
}

function providers(scope: string): ((call: Call) => Record<string, unknown>)[] {
  const one = (namespace: string, resourceTypes: unknown[]) => () => ({
    id: `${scope}/providers/${namespace}`,
    namespace,
    registrationPolicy: 'RegistrationRequired',
    registrationState: 'Registered',
    resourceTypes,
  });
  return [
    one(
      'Microsoft.Cache',
      types(
        [
          'redisEnterprise',
          'redisEnterprise/databases',
          'locations/operationsStatus',
          'operations',
          'checkNameAvailability',
        ],
        API_VERSIONS,
        BASE_VERSION,
      ),
    ),
    one(
      'Microsoft.Resources',
      types(['subscriptions', 'resourceGroups', 'tags', 'tenants'], CORE_VERSIONS, '2024-11-01'),
    ),
  ];
}

function provider(call: Call, scope: string): Record<string, unknown> {
  const wanted = param(call, 'namespace').toLowerCase();
  const found = providers(scope)
    .map((make) => make(call))
    .find((document) => String(document['namespace']).toLowerCase() === wanted);
  if (found !== undefined) return found;
  throw new ControlError(
    'InvalidResourceNamespace',
    404,
    `The resource namespace '${param(call, 'namespace')}' is invalid: Microsoft.Cache and Microsoft.Resources are offered here.`,
  );
}

/** ARM's common answer; the name must be free and allowed. */
function checkName(call: Call): Answer {
  const body = call.body as { name?: unknown; type?: unknown } | null;
  const name = body?.name;
  if (typeof name !== 'string') {
    throw new ControlError(
      'InvalidRequestContent',
      400,
      `'name' is required, with 'type' Microsoft.Cache/redisEnterprise.`,
      'name',
    );
  }
  const problem = call.service.nameProblem(name);
  if (problem === null) return ok({ nameAvailable: true });
  const reason = problem.code === 'AlreadyExists' ? 'AlreadyExists' : 'Invalid';
  return ok({ nameAvailable: false, reason, message: problem.message });
}

const OPERATIONS: readonly (readonly [name: string, resource: string, operation: string])[] = [
  ['Microsoft.Cache/redisEnterprise/read', 'redisEnterprise', 'Read a cluster'],
  ['Microsoft.Cache/redisEnterprise/write', 'redisEnterprise', 'Create or change a cluster'],
  ['Microsoft.Cache/redisEnterprise/delete', 'redisEnterprise', 'Delete a cluster'],
  [
    'Microsoft.Cache/redisEnterprise/listSkusForScaling/action',
    'redisEnterprise',
    'List the SKUs that a cluster can scale to',
  ],
  ['Microsoft.Cache/redisEnterprise/databases/read', 'databases', 'Read a database'],
  ['Microsoft.Cache/redisEnterprise/databases/write', 'databases', 'Create or change a database'],
  ['Microsoft.Cache/redisEnterprise/databases/delete', 'databases', 'Delete a database'],
  [
    'Microsoft.Cache/redisEnterprise/databases/listKeys/action',
    'databases',
    'List the access keys',
  ],
  [
    'Microsoft.Cache/redisEnterprise/databases/regenerateKey/action',
    'databases',
    'Replace an access key',
  ],
  ['Microsoft.Cache/redisEnterprise/databases/flush/action', 'databases', 'Delete all keys'],
];
