/** The users of a database's engines, from its records. */
import type { AclUser } from '../../engine/contract.ts';
import { labelOf } from '../../engine/index.ts';
import type { CommandNames } from '../auth/acl.ts';
import { keyHashes } from '../auth/keys.ts';
import { CLIENT_USER, type DatabaseUsers, INTERNAL_USERS } from '../auth/users.ts';
import type { AccessKeys } from '../store/records.ts';
import type { DatabaseRecords } from './database-records.ts';
import { VERB_DEADLINE_MS } from './limits.ts';
import type { DatabaseLoop } from './loop.ts';
import { versionsOf } from './newer.ts';

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
 * would fail, or leave a command open that only it has. And while two versions run side by side, or the
 * way back to the older one is open, a newer primary must not be given what an older replica cannot
 * follow: that one would log an error, stay connected, and lack the write when it takes over (engine
 * rule 10).
 */
export async function commandsOf(loop: DatabaseLoop, id: string): Promise<KnownCommands> {
  const { node } = loop.deps;
  const mine = loop.instance(id).engine;
  const running = loop.instances().filter((each) => each.phase === 'running');
  const asked = async (label: string): Promise<CommandNames | null> => {
    const known = node.known(label)?.commands ?? null;
    if (known !== null || label === labelOf(node.engine)) return known;
    const one = running.find((each) => each.engine === label);
    return one === undefined ? null : loop.watch(one.id).link.commands(VERB_DEADLINE_MS);
  };
  const others = versionsOf(loop.database().upgrade, running).filter((label) => label !== mine);
  if (others.length === 0 && mine === labelOf(node.engine)) return ALONE;
  const own = (await asked(mine)) ?? (await loop.watch(id).link.commands(VERB_DEADLINE_MS));
  return { own, unshared: unsharedOf(own, await Promise.all(others.map(asked))) };
}

/** The same for one that is about to start, of this engine. */
export function commandsAtStart(loop: DatabaseLoop, label: string): KnownCommands {
  const { node } = loop.deps;
  const own = node.known(label)?.commands ?? null;
  if (own === null) return ALONE;
  const running = loop.instances().filter((each) => each.phase === 'running');
  const others = versionsOf(loop.database().upgrade, running).filter((each) => each !== label);
  return {
    own,
    unshared: unsharedOf(
      own,
      others.map((each) => node.known(each)?.commands ?? null),
    ),
  };
}

/** What nobody knows of an engine is not guessed. */
function unsharedOf(own: CommandNames, others: readonly (CommandNames | null)[]): string[] {
  return [...own].filter((name) => others.some((known) => known?.has(name) === false));
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
