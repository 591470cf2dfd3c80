/** The users of a database's engines, from its records. */
import type { AclUser } from '../../engine/contract.ts';
import type { CommandNames } from '../auth/acl.ts';
import { keyHashes } from '../auth/keys.ts';
import { CLIENT_USER, type DatabaseUsers } from '../auth/users.ts';
import type { AccessKeys } from '../store/records.ts';
import type { DatabaseRecords } from './database-records.ts';
import { VERB_DEADLINE_MS } from './limits.ts';
import type { DatabaseLoop } from './loop.ts';

/** What both fences are built from: the engines' users and the endpoint's. */
export function databaseUsers(records: DatabaseRecords): DatabaseUsers {
  const { policy, azureStrict, accessKeys } = records.database().settings;
  const keys = records.deps.store.secret<AccessKeys>(`${records.id}/keys`);
  return {
    policy,
    azureStrict,
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

/** Internal users always; `clients`: whether client users may log in too. */
export function usersOf(
  records: DatabaseRecords,
  clients: boolean,
  commands: CommandNames | null = null,
): AclUser[] {
  return records.deps
    .users(databaseUsers(records), commands)
    .map((user) => (clients || user.name !== CLIENT_USER ? user : { ...user, enabled: false }));
}
