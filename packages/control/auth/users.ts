/** All users of a database: those of its engines, and those that the endpoint lets in. */
import { createHmac } from 'node:crypto';
import type { DatabaseView, GuardRule, Policy, UserView } from '../../endpoint/control-protocol.ts';
import type { AclUser } from '../../engine/contract.ts';
import { type InternalSecrets, shardsDirect } from '../store/records.ts';
import { type CommandNames, clientRules, clientUser } from './acl.ts';
import { secretHash } from './keys.ts';

/** The user of Azure's access keys: what a connection string without a user name means. */
export const CLIENT_USER = 'default';

/** Names of internal users. No client can log in as one: nobody knows their passwords. */
export const INTERNAL_USERS = {
  /** The control process. */
  admin: 'admin',
  /** Replicas at their primary, slot moves. It executes what they send, so it may run everything. */
  replication: 'replication',
  /** The endpoint's lanes: the twin of the client user, with exactly its rights. */
  endpoint: 'endpoint',
  /** The endpoint's own questions: CONFIG GET, after its own check of what; INFO. Nothing else. */
  service: 'service',
} as const;

export interface DatabaseUsers {
  readonly policy: Policy;
  readonly shardAccess?: 'direct' | 'relayed';
  readonly accessKeys: 'Enabled' | 'Disabled';
  readonly azureStrict: boolean;
  readonly guard: readonly GuardRule[];
  /** SHA-256 of each access key, lower-case hexadecimal. */
  readonly keyHashes: readonly string[];
  readonly secrets: InternalSecrets;
  /** Commands that not every engine of the database knows: refused by those that do. */
  readonly unshared?: readonly string[];
}

/**
 * The users of each engine of a database, complete: whoever is not in it has no business there.
 *
 * With `OSSCluster` clients reach engines directly, so the client user is there with its keys. With
 * every other policy, and where shards are relayed, the endpoint checks logins and speaks as the twin: the client user is off, and a
 * key opens nothing but the endpoint. The same rules bind both users.
 */
export function engineUsers(database: DatabaseUsers, commands: CommandNames): AclUser[] {
  const { policy, accessKeys, azureStrict, guard, keyHashes, secrets } = database;
  const rules = clientRules(policy, azureStrict, commands, [
    ...alwaysRefused(guard),
    ...(database.unshared ?? []),
  ]);
  const direct = shardsDirect(database) ? accessKeys : 'Disabled';
  const everything = ['~*', '&*', '+@all'];
  return [
    clientUser(CLIENT_USER, direct, keyHashes, rules),
    internal(INTERNAL_USERS.endpoint, secrets.endpoint, rules),
    internal(INTERNAL_USERS.admin, secrets.admin, everything),
    internal(INTERNAL_USERS.replication, secrets.replication, everything),
    internal(INTERNAL_USERS.service, servicePassword(secrets), SERVICE_RULES),
  ];
}

/** It may see every setting, so it sees no key and no channel. CLIENT ID: each lane asks who it is. */
const SERVICE_RULES = ['resetkeys', 'resetchannels', '-@all', '+config|get', '+info', '+client|id'];

/**
 * Whoever asks as `service` knows the endpoint's password anyway: following from it, this one needs
 * no place in stores that earlier builds made.
 */
export function servicePassword({ endpoint }: InternalSecrets): string {
  return createHmac('sha256', endpoint).update(INTERNAL_USERS.service).digest('base64url');
}

/** What a guard refuses always is refused by the engine, too: in scripts and functions as well. */
function alwaysRefused(guard: readonly GuardRule[]): string[] {
  return guard
    .filter(({ action, above }) => action === 'refuse' && above === 0)
    .map(({ command }) => command);
}

function internal(name: string, password: string, rules: readonly string[]): AclUser {
  return { name, enabled: true, passwordHashes: [secretHash(password)], rules };
}

/** As whom the endpoint asks engines for settings. */
export function serviceUser({ secrets }: DatabaseUsers): NonNullable<DatabaseView['service']> {
  return { name: INTERNAL_USERS.service, password: servicePassword(secrets) };
}

/** Whom the endpoint lets in, and as whom it speaks to the engines. With keys disabled: nobody. */
export function endpointUsers(database: DatabaseUsers): UserView[] {
  const { accessKeys, keyHashes, secrets } = database;
  return [
    {
      name: CLIENT_USER,
      secretHashes: accessKeys === 'Enabled' ? keyHashes : [],
      twin: { name: INTERNAL_USERS.endpoint, password: secrets.endpoint },
    },
  ];
}
