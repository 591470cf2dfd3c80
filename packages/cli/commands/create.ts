/** `cinnabar create`: cluster and database in one go, with the choices that let any client connect. */
import { Command, Option } from 'commander';
import { type Accepted, type ApiClient, LOCATION } from '../api/client.ts';
import { settled, type WaitOptions, waitFor, whenBack } from '../api/operations.ts';
import type { Cache, DatabaseResource } from '../api/shapes.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { CliError } from '../errors.ts';
import { whole } from '../up/options.ts';
import {
  EVICTION,
  POLICIES,
  SHARD_ACCESS,
  state,
  type WaitFlags,
  waitFlags,
  waitOptions,
} from './options.ts';
import { showCache } from './show.ts';
import { completion, DEFAULT_SKU, isUnfinished } from './unfinished.ts';

export interface CreateFlags extends WaitFlags {
  readonly sku?: string;
  readonly policy?: string;
  readonly ha?: string;
  readonly accessKeys?: string;
  readonly eviction?: string;
  readonly port?: string;
  readonly plaintext?: boolean;
  readonly azureStrict?: boolean;
  readonly shardAccess?: string;
  readonly capacity?: string;
  readonly location?: string;
  readonly tag?: readonly string[];
}

const NAME = /^(?=.{1,60}$)[A-Za-z0-9]+(-[A-Za-z0-9]+)*$/;

export function createCommand(): Command {
  const command = new Command('create')
    .summary('make a cache')
    .description(
      'Makes a cache and waits until it serves. Unlike in Azure, access keys are on and the policy is EnterpriseCluster unless you say otherwise, so that any client can connect.',
    )
    .argument('<name>', 'letters, digits and single hyphens, at most 60')
    .option('--sku <name>', 'size and tier; see: cinnabar sku list', DEFAULT_SKU)
    .addOption(
      new Option('--policy <policy>', 'how clients see the shards')
        .choices([...POLICIES])
        .default('EnterpriseCluster'),
    )
    .option('--ha <on|off>', 'a replica for each shard (default: on)', state('--ha'))
    .option(
      '--access-keys <on|off>',
      'log in with access keys (default: on)',
      state('--access-keys'),
    )
    .addOption(
      new Option('--eviction <policy>', 'what goes when memory is full').choices([...EVICTION]),
    )
    .option('--port <port>', 'default: the first free one from 10000 up')
    .option('--plaintext', 'no TLS between clients and the cache')
    .addOption(
      new Option('--shard-access <way>', 'OSSCluster: how clients reach shards').choices([
        ...SHARD_ACCESS,
      ]),
    )
    .option('--azure-strict', "refuse Azure's whole list of blocked commands")
    .option('--capacity <n>', 'for Enterprise_ SKUs only')
    .option('--location <name>', 'any name; shown as Azure shows it', LOCATION)
    .option(
      '--tag <name=value>',
      'a tag (repeatable)',
      (value: string, all: readonly string[] = []) => [...all, value],
    );
  return waitFlags(command)
    .addHelpText(
      'after',
      `
A location is a name and no more; spaces and capitals do not count. Azure's
regions are shown in Azure's spelling ('West Europe'), others in small letters.

Examples:
  cinnabar create sessions
  cinnabar create catalogue --sku MemoryOptimized_M10 --policy OSSCluster
  cinnabar create jobs --policy NoCluster --eviction NoEviction --port 10100`,
    )
    .action(
      action(async (context: Context, name: string, flags: CreateFlags) => {
        const cache = await createCache(context, name, flags, waitOptions(flags));
        if (cache !== null) await showCache(context, cache);
      }),
    );
}

/** Null when it was not waited for. */
export async function createCache(
  context: Context,
  name: string,
  flags: CreateFlags,
  wait: WaitOptions,
): Promise<Cache | null> {
  if (!NAME.test(name)) {
    throw new CliError(
      'usage',
      'bad-name',
      `'${name}' is not a name for a cache.`,
      'Use letters, digits and single hyphens between them, at most 60 characters.',
    );
  }
  // Read before anything is made: a port that is none must not leave a cluster behind.
  const port = flags.port === undefined ? {} : { port: whole('--port', flags.port, 1, 65535) };
  const api = await whenBack(context);
  const left = await leftBy(api, name, flags);
  if (flags.policy === 'NoCluster') {
    await refuseLargeNoCluster(api, flags.sku ?? DEFAULT_SKU, flags.ha ?? 'Enabled');
  }
  if (left !== null) await settled(api, name, wait);
  const cluster = await api.putCluster(name, {
    location: flags.location ?? LOCATION,
    // A PUT without tags would take those away that it was begun with.
    tags: { ...left?.tags, ...(flags.tag === undefined ? {} : tags(flags.tag)) },
    sku: {
      name: flags.sku ?? DEFAULT_SKU,
      ...(flags.capacity === undefined
        ? {}
        : { capacity: whole('--capacity', flags.capacity, 1, 1000) }),
    },
    properties: {
      highAvailability: flags.ha ?? 'Enabled',
      minimumTlsVersion: '1.2',
      publicNetworkAccess: 'Enabled',
    },
  });
  // The database cannot be asked for before its cluster is there, so this wait is not optional.
  await waitFor(api, context.output, cluster.operation, { ...wait, wait: true });
  const cinnabar = {
    ...(flags.azureStrict === true ? { azureStrict: true } : {}),
    ...(flags.shardAccess === undefined ? {} : { shardAccess: flags.shardAccess }),
  };
  const made = api.putDatabase(name, {
    properties: {
      clientProtocol: flags.plaintext === true ? 'Plaintext' : 'Encrypted',
      clusteringPolicy: flags.policy ?? 'EnterpriseCluster',
      accessKeysAuthentication: flags.accessKeys ?? 'Enabled',
      ...(flags.eviction === undefined ? {} : { evictionPolicy: flags.eviction }),
      ...port,
      ...(Object.keys(cinnabar).length === 0 ? {} : { cinnabar }),
    },
  });
  const database = await (left === null ? orUndo(api, name, made) : made);
  const done = await waitFor(api, context.output, database.operation, wait);
  return done === null && !wait.wait ? null : api.cache(name);
}

/** A database that is refused must not leave its empty cluster behind, which would keep the name. */
async function orUndo(
  api: ApiClient,
  name: string,
  made: Promise<Accepted<DatabaseResource>>,
): Promise<Accepted<DatabaseResource>> {
  try {
    return await made;
  } catch (error) {
    // Busy: somebody else completes it.
    const ours =
      error instanceof CliError && (error.exit !== 'conflict' || error.code === 'PortInUse');
    if (ours && (await api.database(name)) === null) {
      await api.deleteCluster(name);
    }
    throw error;
  }
}

/** The cluster is made before its policy is known, and would be refused for shards that it never gets. */
async function refuseLargeNoCluster(api: ApiClient, sku: string, ha: string): Promise<void> {
  const rows = await api.skus('NoCluster', ha);
  const reason = rows.find((row) => row.name.toLowerCase() === sku.toLowerCase())?.reason;
  if (reason?.code !== 'SkuNotAllowedForPolicy') return;
  throw new CliError(
    'refused',
    reason.code,
    reason.message,
    'Sizes: cinnabar sku list --policy NoCluster',
  );
}

/**
 * A PUT of ARM on an existing cache changes it; `create` on the command line never does. Not null: it was
 * begun as it would be now and has no database, because the command was killed in between.
 */
async function leftBy(
  api: ApiClient,
  name: string,
  flags: CreateFlags,
): Promise<Cache['cluster'] | null> {
  let cache: Cache;
  try {
    cache = await api.cache(name);
  } catch (error) {
    if (error instanceof CliError && error.exit === 'notFound') return null;
    throw error;
  }
  if (isUnfinished(cache, flags)) return cache.cluster;
  throw new CliError(
    'conflict',
    'name-taken',
    `There is a cache named '${name}' already; nothing was changed.`,
    cache.database === null
      ? `It has no database. Complete it: ${completion(cache.cluster)}`
      : `See it: cinnabar show ${name}. Change it: cinnabar update ${name} ...`,
  );
}

export function tags(pairs: readonly string[]): Record<string, string> {
  const all: Record<string, string> = {};
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at < 1) {
      throw new CliError(
        'usage',
        'bad-option',
        `--tag: '${pair}' is not name=value.`,
        '--tag team=shop',
      );
    }
    all[pair.slice(0, at)] = pair.slice(at + 1);
  }
  return all;
}
