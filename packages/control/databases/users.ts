/** The users of a database's engines, from its records. */
import type { AclUser } from '../../engine/contract.ts';
import { keyHashes } from '../auth/keys.ts';
import { CLIENT_USER, type DatabaseUsers } from '../auth/users.ts';
import type { AccessKeys } from '../store/records.ts';
import type { DatabaseRecords } from './database-records.ts';

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

/** Internal users always; `clients`: whether client users may log in too. */
export function usersOf(records: DatabaseRecords, clients: boolean): AclUser[] {
  return records.deps
    .users(databaseUsers(records))
    .map((user) => (clients || user.name !== CLIENT_USER ? user : { ...user, enabled: false }));
}
