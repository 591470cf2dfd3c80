/** PUT and PATCH bodies of a cluster, turned into what the resources understand. Pure. */
import { Type } from 'typebox';
import { ControlError } from '../errors.ts';
import type { ClusterInput } from '../service.ts';
import type { ClusterRecord } from '../store/records.ts';
import { notImplemented } from './answer.ts';
import { type Read, readFields } from './fields.ts';
import type { ApiVersion } from './versions.ts';

const Toggle = Type.Enum(['Enabled', 'Disabled']);
const ReadOnly = Type.Optional(Type.Unknown({ readOnly: true }));

const Identity = Type.Object(
  {
    type: Type.Optional(
      Type.Enum([
        'None',
        'SystemAssigned',
        'UserAssigned',
        'SystemAssigned, UserAssigned',
        'SystemAssigned,UserAssigned',
      ]),
    ),
    userAssignedIdentities: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    principalId: ReadOnly,
    tenantId: ReadOnly,
  },
  { since: 'identity' },
);

const Window = Type.Object({
  type: Type.Enum(['Weekly']),
  duration: Type.String({ pattern: '^PT([0-9]+H)?([0-9]+M)?$' }),
  startHourUtc: Type.Integer({ minimum: 0, maximum: 23 }),
  schedule: Type.Object({
    dayOfWeek: Type.Enum([
      'Sunday',
      'Monday',
      'Tuesday',
      'Wednesday',
      'Thursday',
      'Friday',
      'Saturday',
    ]),
  }),
});

const ClusterProperties = Type.Object({
  highAvailability: Type.Optional(
    Type.Enum(['Enabled', 'Disabled'], { since: 'highAvailability' }),
  ),
  minimumTlsVersion: Type.Optional(Type.Enum(['1.0', '1.1', '1.2'])),
  publicNetworkAccess: Type.Optional(
    Type.Union([Toggle, Type.Null()], { since: 'publicNetworkAccess', nullable: true }),
  ),
  encryption: Type.Optional(
    Type.Object(
      { customerManagedKeyEncryption: Type.Optional(Type.Record(Type.String(), Type.Unknown())) },
      { since: 'encryption' },
    ),
  ),
  maintenanceConfiguration: Type.Optional(
    Type.Object(
      { maintenanceWindows: Type.Optional(Type.Array(Window, { maxItems: 7 })) },
      { since: 'maintenanceConfiguration' },
    ),
  ),
  firewallRules: Type.Optional(Type.Array(Type.Unknown(), { since: 'firewallRules' })),
  hostName: ReadOnly,
  provisioningState: ReadOnly,
  resourceState: ReadOnly,
  redundancyMode: ReadOnly,
  redisVersion: ReadOnly,
  privateEndpointConnections: ReadOnly,
  migratedEndpoint: ReadOnly,
  cinnabar: ReadOnly,
});

const ClusterBody = Type.Object({
  location: Type.Optional(Type.String()),
  tags: Type.Optional(Type.Record(Type.String(), Type.String())),
  sku: Type.Optional(
    Type.Object({ name: Type.Optional(Type.String()), capacity: Type.Optional(Type.Integer()) }),
  ),
  zones: Type.Optional(Type.Array(Type.String(), { maxItems: 9 })),
  identity: Type.Optional(Identity),
  properties: Type.Optional(ClusterProperties),
  id: ReadOnly,
  name: ReadOnly,
  type: ReadOnly,
  kind: ReadOnly,
  systemData: ReadOnly,
});

type Body = Type.Static<typeof ClusterBody>;
type Properties = Type.Static<typeof ClusterProperties>;

/** A PUT: what it does not say is the default, or kept where its version does not know the field. */
export function clusterFromPut(
  body: unknown,
  names: { readonly group: string; readonly name: string },
  current: ClusterRecord | null,
  version: ApiVersion,
): Read<ClusterInput> {
  const { value, ignored } = readFields(ClusterBody, body, version);
  const properties = value.properties ?? {};
  const sku = skuOf(value);
  if (sku === null) throw required('sku.name', 'for example Balanced_B1');
  return {
    ignored,
    value: {
      ...names,
      location: value.location ?? '',
      tags: value.tags ?? null,
      ...sku,
      highAvailability: version.knows('highAvailability')
        ? properties.highAvailability !== 'Disabled'
        : (current?.highAvailability ?? true),
      publicNetworkAccess: publicAccess(properties, current, version),
      // Settled at creation; a PUT that does not repeat them does not change them.
      zones: value.zones ?? current?.zones ?? null,
      echoed: { ...keptByVersion(current, version), ...echoedFields(value) },
    },
  };
}

/** A PATCH: only what it says. */
export function clusterFromPatch(
  body: unknown,
  current: ClusterRecord,
  version: ApiVersion,
): Read<Partial<Omit<ClusterInput, 'group' | 'name'>>> {
  const { value, ignored } = readFields(ClusterBody, body, version);
  const { highAvailability, publicNetworkAccess } = value.properties ?? {};
  const sku = skuOf(value);
  return {
    ignored,
    value: {
      ...(value.location === undefined ? {} : { location: value.location }),
      ...(value.tags === undefined ? {} : { tags: value.tags }),
      ...(sku === null ? {} : sku),
      ...(value.zones === undefined ? {} : { zones: value.zones }),
      ...(highAvailability === undefined
        ? {}
        : { highAvailability: highAvailability === 'Enabled' }),
      ...(publicNetworkAccess == null ? {} : { publicNetworkAccess }),
      echoed: { ...current.echoed, ...echoedFields(value) },
    },
  };
}

function skuOf(value: Body): { sku: string; capacity: number | null } | null {
  const name = value.sku?.name;
  return name === undefined ? null : { sku: name, capacity: value.sku?.capacity ?? null };
}

/** Required from 2025-07-01 on; null only goes back where it came from (an older version's cluster). */
function publicAccess(
  properties: Properties,
  current: ClusterRecord | null,
  version: ApiVersion,
): 'Enabled' | 'Disabled' | null {
  if (!version.knows('publicNetworkAccess')) return current?.publicNetworkAccess ?? null;
  const { publicNetworkAccess } = properties;
  if (publicNetworkAccess != null) return publicNetworkAccess;
  const goesBack = publicNetworkAccess === null && current?.publicNetworkAccess === null;
  if (goesBack) return null;
  throw required('properties.publicNetworkAccess', "'Enabled' or 'Disabled'");
}

/** Fields that are kept and shown again, checked for what would be a promise that nobody keeps. */
function echoedFields(value: Body): Record<string, unknown> {
  const properties = value.properties ?? {};
  if (properties.minimumTlsVersion === '1.0' || properties.minimumTlsVersion === '1.1') {
    throw new ControlError(
      'InvalidParameter',
      400,
      `minimumTlsVersion ${properties.minimumTlsVersion} is not offered: TLS 1.2 and 1.3 are. Leave it out, or send 1.2.`,
      'properties.minimumTlsVersion',
    );
  }
  if (Object.keys(properties.encryption?.customerManagedKeyEncryption ?? {}).length > 0) {
    notImplemented(
      'Encryption with a customer-managed key is not built: nothing here would use the key. Leave properties.encryption empty.',
    );
  }
  if ((properties.firewallRules ?? []).length > 0) {
    notImplemented(
      'firewallRules are not built: nothing here would enforce them. Use the firewall of the machine, and "cinnabar up --listen" to choose the addresses.',
    );
  }
  return defined({
    identity: value.identity,
    encryption: properties.encryption,
    maintenanceConfiguration: properties.maintenanceConfiguration,
    minimumTlsVersion: properties.minimumTlsVersion,
  });
}

function keptByVersion(current: ClusterRecord | null, version: ApiVersion): object {
  const fields = ['identity', 'encryption', 'maintenanceConfiguration'] as const;
  return defined(
    Object.fromEntries(
      fields
        .filter((field) => !version.knows(field))
        .map((field) => [field, current?.echoed[field]]),
    ),
  );
}

function defined(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function required(target: string, example: string): ControlError {
  return new ControlError(
    'InvalidRequestContent',
    400,
    `'${target}' is required: ${example}.`,
    target,
  );
}
