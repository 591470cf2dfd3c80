/** `cinnabar update`, `delete` and `flush`. */
import { Command, Option } from 'commander';
import { API_VERSION } from '../api/client.ts';
import { waitFor, whenBack } from '../api/operations.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { CliError } from '../errors.ts';
import { confirmed } from '../output/confirm.ts';
import { whole } from '../up/options.ts';
import { tags } from './create.ts';
import {
  EVICTION,
  NOTIFY_VERSION,
  POLICIES,
  SHARD_ACCESS,
  state,
  type WaitFlags,
  WINDOWS_VERSION,
  waitFlags,
  waitOptions,
} from './options.ts';
import { showCache } from './show.ts';

/** A week, as the API allows. */
const MOST_IDLE_MINUTES = 10_080;
const LAST_HOUR = 23;
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
/** As the API allows. */
const MOST_REPLICAS = 4;

interface UpdateFlags extends WaitFlags {
  readonly sku?: string;
  readonly ha?: string;
  readonly policy?: string;
  readonly accessKeys?: string;
  readonly eviction?: string;
  readonly protocol?: string;
  readonly azureStrict?: string;
  readonly readFrom?: string;
  readonly shardAccess?: string;
  readonly idleTimeout?: string;
  readonly replicas?: string;
  readonly notify?: string;
  readonly tag?: readonly string[];
  readonly deferUpgrade?: string;
  readonly window?: readonly string[];
  readonly windows?: boolean;
}

export function updateCommand(): Command {
  const command = new Command('update')
    .summary('change a cache')
    .description('Changes only what is named. Waits until the running processes show it.')
    .argument('<name>')
    .option('--sku <name>', 'scale; see: cinnabar sku list --for <name>')
    .option('--ha <on|off>', 'high availability', state('--ha'))
    .option('--replicas <n>', 'copies of each shard beside its primary, where ha is on')
    .option('--access-keys <on|off>', 'log in with access keys', state('--access-keys'))
    .addOption(
      new Option('--eviction <policy>', 'what goes when memory is full').choices([...EVICTION]),
    )
    .addOption(
      new Option('--policy <policy>', 'between OSSCluster and EnterpriseCluster').choices([
        ...POLICIES,
      ]),
    )
    .addOption(
      new Option('--protocol <protocol>', 'TLS or not').choices(['Encrypted', 'Plaintext']),
    )
    .option('--azure-strict <on|off>', "refuse Azure's blocked commands", state('--azure-strict'))
    .addOption(
      new Option('--read-from <copy>', 'which copy serves reads').choices(['primary', 'replica']),
    )
    .addOption(
      new Option('--shard-access <way>', 'OSSCluster: how clients reach shards').choices([
        ...SHARD_ACCESS,
      ]),
    )
    .option('--idle-timeout <minutes>', 'disconnect silent clients (default: 10); 0: never')
    .option('--notify <letters>', 'keyspace notifications, as in Redis; empty: off')
    .option(
      '--window <day hour hours>',
      "replace all maintenance windows, in UTC: 'Sunday 2 9' (repeatable)",
      (v: string, all: readonly string[] = []) => [...all, v],
    )
    .option('--no-windows', 'remove all maintenance windows')
    .option(
      '--defer-upgrade <on|off>',
      'no newer engine by itself, windows or not',
      state('--defer-upgrade'),
    )
    .option(
      '--tag <name=value>',
      'replace all tags (repeatable)',
      (v: string, all: readonly string[] = []) => [...all, v],
    );
  return waitFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  cinnabar update sessions --sku Balanced_B3
  cinnabar update sessions --eviction AllKeysLRU --access-keys on
  cinnabar update sessions --window 'Saturday 1 9' --window 'Sunday 1 9'`,
    )
    .action(action(update));
}

async function update(context: Context, name: string, flags: UpdateFlags): Promise<void> {
  const cluster = clusterChange(flags);
  const database = databaseChange(flags);
  if (cluster === null && database === null) {
    throw new CliError(
      'usage',
      'nothing-to-change',
      'No change was named.',
      'See: cinnabar update --help',
    );
  }
  const api = await whenBack(context);
  const wait = waitOptions(flags);
  const ofCluster = async () =>
    api.patchCluster(name, cluster, windowsOf(flags) === null ? API_VERSION : WINDOWS_VERSION);
  const ofDatabase = async () =>
    api.patchDatabase(name, database, flags.notify === undefined ? API_VERSION : NOTIFY_VERSION);
  // Two resources, two answers. What is refused more often, and undone more easily, comes first: then
  // a mistake has changed nothing. But replicas need high availability to be on.
  const changes = [
    ...(database === null ? [] : [ofDatabase]),
    ...(cluster === null ? [] : [ofCluster]),
  ];
  if (flags.ha !== undefined) changes.reverse();
  for (const [i, change] of changes.entries()) {
    const accepted = await change().catch((error: unknown) => {
      if (i === 0 || !(error instanceof CliError)) throw error;
      const half = `${error.message} What else was asked for is done.`;
      throw new CliError(error.exit, error.code, half, error.remedy);
    });
    const last = i === changes.length - 1;
    await waitFor(api, context.output, accepted.operation, last ? wait : { ...wait, wait: true });
  }
  if (wait.wait) await showCache(context, await api.cache(name));
}

function clusterChange(flags: UpdateFlags): Record<string, unknown> | null {
  const windows = windowsOf(flags);
  const properties = {
    ...(flags.ha === undefined ? {} : { highAvailability: flags.ha }),
    ...(windows === null
      ? {}
      : { maintenanceConfiguration: { maintenanceWindows: windows.map(windowFrom) } }),
  };
  const change = {
    ...(flags.sku === undefined ? {} : { sku: { name: flags.sku } }),
    ...(flags.tag === undefined ? {} : { tags: tags(flags.tag) }),
    ...(Object.keys(properties).length === 0 ? {} : { properties }),
  };
  return Object.keys(change).length === 0 ? null : change;
}

/** Null: they stay as they are. */
function windowsOf(flags: UpdateFlags): readonly string[] | null {
  return flags.windows === false ? [] : (flags.window ?? null);
}

function windowFrom(text: string): Record<string, unknown> {
  const [day = '', hour = '', hours = '', ...more] = text.trim().split(/\s+/);
  const dayOfWeek = day.slice(0, 1).toUpperCase() + day.slice(1).toLowerCase();
  const wrong = (what: string): CliError =>
    new CliError(
      'usage',
      'bad-option',
      `--window: ${what}.`,
      "For example: --window 'Sunday 2 9'   (day, hour in UTC, hours)",
    );
  if (!DAYS.includes(dayOfWeek)) throw wrong(`'${day}' is not a day of the week`);
  if (hours === '' || more.length > 0) {
    throw wrong(`'${text}' is not a day, an hour and a number of hours`);
  }
  const startHourUtc = whole('--window', hour, 0, LAST_HOUR);
  const duration = `PT${whole('--window', hours, 1, LAST_HOUR + 1)}H`;
  return { type: 'Weekly', startHourUtc, duration, schedule: { dayOfWeek } };
}

function databaseChange(flags: UpdateFlags): Record<string, unknown> | null {
  const cinnabar = {
    ...(flags.azureStrict === undefined ? {} : { azureStrict: flags.azureStrict === 'Enabled' }),
    ...(flags.readFrom === undefined ? {} : { readFrom: flags.readFrom }),
    ...(flags.shardAccess === undefined ? {} : { shardAccess: flags.shardAccess }),
    ...(flags.idleTimeout === undefined
      ? {}
      : { idleTimeoutMinutes: whole('--idle-timeout', flags.idleTimeout, 0, MOST_IDLE_MINUTES) }),
    ...(flags.replicas === undefined
      ? {}
      : { replicas: whole('--replicas', flags.replicas, 1, MOST_REPLICAS) }),
  };
  const properties = {
    ...(flags.accessKeys === undefined ? {} : { accessKeysAuthentication: flags.accessKeys }),
    ...(flags.eviction === undefined ? {} : { evictionPolicy: flags.eviction }),
    ...(flags.policy === undefined ? {} : { clusteringPolicy: flags.policy }),
    ...(flags.protocol === undefined ? {} : { clientProtocol: flags.protocol }),
    ...(flags.notify === undefined ? {} : { notifyKeyspaceEvents: flags.notify }),
    ...(flags.deferUpgrade === undefined
      ? {}
      : { deferUpgrade: flags.deferUpgrade === 'Enabled' ? 'Deferred' : 'NotDeferred' }),
    ...(Object.keys(cinnabar).length === 0 ? {} : { cinnabar }),
  };
  return Object.keys(properties).length === 0 ? null : { properties };
}

interface YesFlags extends WaitFlags {
  readonly yes?: boolean;
}

export function deleteCommand(): Command {
  const command = new Command('delete')
    .summary('delete a cache and its data')
    .argument('<name>')
    .option('-y, --yes', 'do not ask');
  return waitFlags(command)
    .addHelpText(
      'after',
      '\nExamples:\n  cinnabar delete sessions\n  cinnabar delete sessions --yes',
    )
    .action(
      action(async (context: Context, name: string, flags: YesFlags) => {
        const api = await whenBack(context);
        await api.cluster(name);
        await confirmed(context, flags.yes, `Delete the cache '${name}' and all its data?`);
        const accepted = await api.deleteCluster(name);
        const wait = waitOptions(flags);
        await waitFor(api, context.output, accepted.operation, wait);
        if (!wait.wait) return;
        if (context.output.json) context.output.data({ deleted: name });
        else context.output.note(`Deleted '${name}'.`);
      }),
    );
}

export function flushCommand(): Command {
  const command = new Command('flush')
    .summary('remove all keys of a cache')
    .argument('<name>')
    .option('-y, --yes', 'do not ask');
  return waitFlags(command)
    .addHelpText('after', '\nExamples:\n  cinnabar flush sessions --yes')
    .action(
      action(async (context: Context, name: string, flags: YesFlags) => {
        const api = await whenBack(context);
        await api.cluster(name);
        await confirmed(context, flags.yes, `Remove all keys of '${name}'?`);
        const accepted = await api.flush(name);
        const wait = waitOptions(flags);
        await waitFor(api, context.output, accepted.operation, wait);
        if (!wait.wait) return;
        if (context.output.json) context.output.data({ flushed: name });
        else context.output.note(`Removed all keys of '${name}'.`);
      }),
    );
}
