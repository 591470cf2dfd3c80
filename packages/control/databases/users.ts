/** The users of a database's engines, from its records. */
import type { AclUser } from '../../engine/contract.ts';
import type { CommandNames } from '../auth/acl.ts';
import { keyHashes } from '../auth/keys.ts';
import { CLIENT_USER, type DatabaseUsers, INTERNAL_USERS } from '../auth/users.ts';
import type { AccessKeys } from '../store/records.ts';
import type { DatabaseRecords } from './database-records.ts';
import { VERB_DEADLINE_MS } from './limits.ts';
import type { DatabaseLoop } from './loop.ts';

/** What both fences are built from: the engines' users and the endpoint's. */
export function databaseUsers(records: DatabaseRecords): DatabaseUsers {
  const { policy, azureStrict, accessKeys, guard } = records.database().settings;
  const keys = records.deps.store.secret<AccessKeys>(`${records.id}/keys`);
  return {
    policy,
    azureStrict,
    guard,
    accessKeys,
    keyHashes: keys === null ? [] : keyHashes(keys),
    secrets: records.secrets(),
  };
}

/**
 * Commands of the engine that runs there, null when it is of the version that is started now. One
 * that was adopted may be older or newer: rules of another version would fail, or leave a command
 * open that only it has.
 */
export async function commandsOf(loop: DatabaseLoop, id: string): Promise<CommandNames | null> {
  const { engine } = loop.deps.node;
  const watch = loop.watch(id);
  if (watch.sighting().facts?.version === `${engine.name} ${engine.version}`) return null;
  return watch.link.commands(VERB_DEADLINE_MS);
}

/** Who runs commands of clients in an engine: they themselves, and the endpoint for them. */
const FOR_CLIENTS: readonly string[] = [CLIENT_USER, INTERNAL_USERS.endpoint];

/**
 * `clients`: whether commands of clients may come too. Not before a shard serves: the endpoint is
 * told of it only then, and an endpoint that still believes an older snapshot finds its user off.
 */
export function usersOf(
  records: DatabaseRecords,
  clients: boolean,
  commands: CommandNames | null = null,
): AclUser[] {
  return records.deps
    .users(databaseUsers(records), commands)
    .map((user) =>
      clients || !FOR_CLIENTS.includes(user.name) ? user : { ...user, enabled: false },
    );
}
