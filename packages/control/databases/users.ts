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
  const { policy, shardAccess, azureStrict, accessKeys, guard } = records.database().settings;
  const keys = records.deps.store.secret<AccessKeys>(`${records.id}/keys`);
  return {
    policy,
    ...(shardAccess === undefined ? {} : { shardAccess }),
    azureStrict,
    guard,
    accessKeys,
    keyHashes: keys === null ? [] : keyHashes(keys),
    secrets: records.secrets(),
  };
}

/** What the rules of one engine are made from. */
export interface KnownCommands {
  /** Null: those of the version that is started now. */
  readonly own: CommandNames | null;
  /** It knows them, and another engine of the database does not. */
  readonly unshared: readonly string[];
}

const ALONE: KnownCommands = { own: null, unshared: [] };

/**
 * An engine that was adopted may be older or newer than what is started now: rules of another version
 * would fail, or leave a command open that only it has. And while two versions run side by side a newer
 * primary must not be given what its older replica cannot follow: that one would log an error, stay
 * connected, and lack the write when it takes over (engine rule 10).
 */
export async function commandsOf(loop: DatabaseLoop, id: string): Promise<KnownCommands> {
  const { engine } = loop.deps.node;
  const { link } = loop.watch(id);
  const mine = loop.instance(id).engine;
  const others = loop.instances().filter((i) => i.phase === 'running' && i.engine !== mine);
  if (others.length === 0) {
    if (mine === `${engine.name} ${engine.version}`) return ALONE;
    return { own: await link.commands(VERB_DEADLINE_MS), unshared: [] };
  }
  const [own, ...theirs] = await Promise.all(
    [link, ...others.map((other) => loop.watch(other.id).link)].map((each) =>
      each.commands(VERB_DEADLINE_MS),
    ),
  );
  const unshared = [...(own ?? [])].filter((name) => theirs.some((known) => !known.has(name)));
  return { own: own ?? null, unshared };
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
  commands: KnownCommands = ALONE,
): AclUser[] {
  return records.deps
    .users({ ...databaseUsers(records), unshared: commands.unshared }, commands.own)
    .map((user) =>
      clients || !FOR_CLIENTS.includes(user.name) ? user : { ...user, enabled: false },
    );
}
