/** PUT and PATCH bodies of a database, turned into what the resources understand. Pure. */
import { Type } from 'typebox';
import type { GuardRule } from '../../endpoint/control-protocol.ts';
import { ControlError } from '../errors.ts';
import type { DatabaseInput } from '../service.ts';
import type { DatabaseRecord, DatabaseSettings } from '../store/records.ts';
import { notImplemented } from './answer.ts';
import { type Read, readFields } from './fields.ts';
import { MAX_GUARD_RULES, MAX_IDLE_MINUTES, MAX_REPLICAS } from './limits.ts';
import type { ApiVersion } from './versions.ts';

const ReadOnly = Type.Optional(Type.Unknown({ readOnly: true }));

const Properties = Type.Object({
  clientProtocol: Type.Optional(Type.Enum(['Encrypted', 'Plaintext'])),
  port: Type.Optional(Type.Integer()),
  clusteringPolicy: Type.Optional(Type.Enum(['OSSCluster', 'EnterpriseCluster', 'NoCluster'])),
  evictionPolicy: Type.Optional(
    Type.Enum([
      'AllKeysLFU',
      'AllKeysLRU',
      'AllKeysRandom',
      'VolatileLRU',
      'VolatileLFU',
      'VolatileTTL',
      'VolatileRandom',
      'NoEviction',
    ]),
  ),
  persistence: Type.Optional(
    Type.Object({
      aofEnabled: Type.Optional(Type.Boolean()),
      rdbEnabled: Type.Optional(Type.Boolean()),
      aofFrequency: Type.Optional(Type.Enum(['1s', 'always'])),
      rdbFrequency: Type.Optional(Type.Enum(['1h', '6h', '12h'])),
    }),
  ),
  modules: Type.Optional(
    Type.Array(
      Type.Object({
        name: Type.String(),
        args: Type.Optional(Type.String()),
        version: ReadOnly,
      }),
      { maxItems: 20 },
    ),
  ),
  geoReplication: Type.Optional(
    Type.Object({
      groupNickname: Type.Optional(Type.String()),
      linkedDatabases: Type.Optional(Type.Array(Type.Unknown(), { maxItems: 20 })),
    }),
  ),
  deferUpgrade: Type.Optional(Type.Enum(['Deferred', 'NotDeferred'], { since: 'deferUpgrade' })),
  accessKeysAuthentication: Type.Optional(
    Type.Enum(['Enabled', 'Disabled'], { since: 'accessKeysAuthentication' }),
  ),
  notifyKeyspaceEvents: Type.Optional(Type.String({ since: 'notifyKeyspaceEvents' })),
  cinnabar: Type.Optional(
    Type.Object({
      azureStrict: Type.Optional(Type.Boolean()),
      guard: Type.Optional(
        Type.Array(
          Type.Object({
            command: Type.String(),
            action: Type.Enum(['allow', 'warn', 'refuse']),
            above: Type.Optional(Type.Integer({ minimum: 0 })),
          }),
          { maxItems: MAX_GUARD_RULES },
        ),
      ),
      readFrom: Type.Optional(Type.Enum(['primary', 'replica'])),
      shardAccess: Type.Optional(Type.Enum(['direct', 'relayed'])),
      idleTimeoutMinutes: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_IDLE_MINUTES })),
      replicas: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_REPLICAS })),
    }),
  ),
  provisioningState: ReadOnly,
  resourceState: ReadOnly,
  redisVersion: ReadOnly,
});

const DatabaseBody = Type.Object({
  properties: Type.Optional(Properties),
  id: ReadOnly,
  name: ReadOnly,
  type: ReadOnly,
  systemData: ReadOnly,
});

type Said = Type.Static<typeof Properties>;

/** A PUT: what it does not say is the default, or kept where its version does not know the field. */
export function databaseFromPut(
  body: unknown,
  current: DatabaseRecord | null,
  version: ApiVersion,
): Read<DatabaseInput> {
  const { value, ignored } = readFields(DatabaseBody, body, version);
  const said = value.properties ?? {};
  refuseUnbuilt(said);
  const stored = current?.settings;
  const kept = <T>(
    field: 'deferUpgrade' | 'notifyKeyspaceEvents',
    was: T | undefined,
    initial: T,
  ): T => (version.knows(field) ? initial : (was ?? initial));
  const settings: DatabaseSettings = {
    clientProtocol: said.clientProtocol ?? 'Encrypted',
    // Create-only in most cases: a PUT that does not repeat it does not ask for another one.
    policy: said.clusteringPolicy ?? stored?.policy ?? 'OSSCluster',
    evictionPolicy: said.evictionPolicy ?? 'VolatileLRU',
    accessKeys: said.accessKeysAuthentication ?? defaultKeys(stored, version),
    deferUpgrade: said.deferUpgrade ?? kept('deferUpgrade', stored?.deferUpgrade, 'NotDeferred'),
    notifyKeyspaceEvents:
      said.notifyKeyspaceEvents ?? kept('notifyKeyspaceEvents', stored?.notifyKeyspaceEvents, ''),
    // No client of Azure's knows it: only saying so changes it.
    azureStrict: said.cinnabar?.azureStrict ?? stored?.azureStrict ?? false,
    guard: guardOf(said) ?? stored?.guard ?? [],
    ...pick('readFrom', said.cinnabar?.readFrom ?? stored?.readFrom),
    ...pick('shardAccess', said.cinnabar?.shardAccess ?? stored?.shardAccess),
    ...pick('idleTimeoutMinutes', said.cinnabar?.idleTimeoutMinutes ?? stored?.idleTimeoutMinutes),
    ...pick('replicas', said.cinnabar?.replicas ?? stored?.replicas),
  };
  return { ignored, value: { settings, port: said.port ?? null } };
}

/** A PATCH: only what it says. */
export function databaseFromPatch(
  body: unknown,
  version: ApiVersion,
): Read<{ settings: Partial<DatabaseSettings>; port?: number }> {
  const { value, ignored } = readFields(DatabaseBody, body, version);
  const said = value.properties ?? {};
  refuseUnbuilt(said);
  const settings: Partial<DatabaseSettings> = {
    ...pick('clientProtocol', said.clientProtocol),
    ...pick('policy', said.clusteringPolicy),
    ...pick('evictionPolicy', said.evictionPolicy),
    ...pick('accessKeys', said.accessKeysAuthentication),
    ...pick('deferUpgrade', said.deferUpgrade),
    ...pick('notifyKeyspaceEvents', said.notifyKeyspaceEvents),
    ...pick('azureStrict', said.cinnabar?.azureStrict),
    ...pick('guard', guardOf(said)),
    ...pick('readFrom', said.cinnabar?.readFrom),
    ...pick('shardAccess', said.cinnabar?.shardAccess),
    ...pick('idleTimeoutMinutes', said.cinnabar?.idleTimeoutMinutes),
    ...pick('replicas', said.cinnabar?.replicas),
  };
  return { ignored, value: { settings, ...(said.port === undefined ? {} : { port: said.port }) } };
}

function guardOf({ cinnabar }: Said): GuardRule[] | undefined {
  return cinnabar?.guard?.map(({ command, action, above = 0 }) => ({
    command: command.toLowerCase(),
    action,
    above,
  }));
}

/** Off from 2025-04-01 on. Before, keys always worked; a PUT of such a version never turns them off. */
function defaultKeys(
  stored: DatabaseSettings | undefined,
  version: ApiVersion,
): 'Enabled' | 'Disabled' {
  if (version.knows('keysOffByDefault')) return 'Disabled';
  return stored?.accessKeys ?? 'Enabled';
}

function refuseUnbuilt(said: Said): void {
  const { persistence, modules, geoReplication } = said;
  if (persistence?.aofEnabled === true && persistence.rdbEnabled === true) {
    throw new ControlError(
      'InvalidParameter',
      400,
      'persistence: aofEnabled and rdbEnabled exclude each other; at most one can be true.',
      'properties.persistence',
    );
  }
  if (persistence?.aofEnabled === true || persistence?.rdbEnabled === true) {
    notImplemented(
      'Persistence is not built yet: an orderly stop saves and the next start loads, but a crash loses the data. Leave properties.persistence out, or set both kinds to false.',
    );
  }
  if (modules !== undefined && modules.length > 0) {
    const names = modules.map((module) => module.name.slice(0, 40)).join(', ');
    notImplemented(
      `Modules are not built: ${names} cannot be loaded. Leave properties.modules out.`,
    );
  }
  if (
    geoReplication?.groupNickname !== undefined ||
    (geoReplication?.linkedDatabases ?? []).length > 0
  ) {
    notImplemented('Geo-replication is not built. Leave properties.geoReplication out.');
  }
}

function pick<K extends keyof DatabaseSettings>(
  key: K,
  value: DatabaseSettings[K] | undefined,
): Partial<DatabaseSettings> {
  return value === undefined ? {} : ({ [key]: value } as Partial<DatabaseSettings>);
}
