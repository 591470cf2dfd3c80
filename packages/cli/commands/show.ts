/** `cinnabar list` and `cinnabar show`. */
import { Command } from 'commander';
import type { ShardStatus } from '../../control/service.ts';
import type { Cache, MaintenanceWindow } from '../api/shapes.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import type { Column } from '../output/table.ts';
import { bytes } from '../output/text.ts';
import { wayBack } from '../output/way-back.ts';
import { completion } from './unfinished.ts';

interface Row {
  readonly name: string;
  readonly sku: string;
  readonly policy: string;
  readonly state: string;
  readonly host: string;
  readonly port: number | null;
  readonly highAvailability: boolean;
  readonly id: string;
  /** What is wrong now: its port is held by somebody else, a shard is down, data were lost. */
  readonly problems: readonly Problem[];
}

interface Problem {
  readonly code: string;
  readonly message: string;
}

/** Problems, of all that the API warns of; and the state that a cache is in that has one. */
const PROBLEM_STATES: Readonly<Record<string, string>> = {
  unreachable: 'Unreachable',
  'shard-down': 'Down',
  'shard-stalled': 'Down',
  'data-lost': 'DataLost',
  'shard-port-taken': 'PortTaken',
  'replica-not-started': 'CopyMissing',
};

/** What is wrong with a cache now. */
export function problemsOf(cache: Cache): Problem[] {
  const warnings = cache.database?.properties.cinnabar?.warnings ?? [];
  return warnings.filter(({ code }) => code in PROBLEM_STATES);
}

/** Said only where it differs. */
const AZURES_IDLE_MINUTES = 10;

export function row(cache: Cache): Row {
  const { cluster, database } = cache;
  const settled = cluster.properties.resourceState === 'Running';
  const problems = problemsOf(cache);
  const state = settled
    ? (database?.properties.resourceState ?? 'NoDatabase')
    : cluster.properties.resourceState;
  return {
    name: cluster.name,
    sku: cluster.sku.name,
    policy: database?.properties.clusteringPolicy ?? '-',
    state: state === 'Running' ? (PROBLEM_STATES[problems[0]?.code ?? ''] ?? state) : state,
    host: cluster.properties.hostName,
    port: database?.properties.port ?? null,
    highAvailability: cluster.properties.highAvailability !== 'Disabled',
    id: cluster.id,
    problems,
  };
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'NAME', value: (r) => r.name, shrinkTo: 12 },
  { title: 'SKU', value: (r) => r.sku, shrinkTo: 14 },
  { title: 'POLICY', value: (r) => r.policy, shrinkTo: 10 },
  { title: 'HA', value: (r) => (r.highAvailability ? 'on' : 'off') },
  { title: 'STATE', value: (r) => r.state, shrinkTo: 8 },
  { title: 'ADDRESS', value: (r) => (r.port === null ? '-' : `${r.host}:${r.port}`), shrinkTo: 15 },
];

export function listCommand(): Command {
  return new Command('list')
    .summary('all caches')
    .addHelpText('after', '\nExamples:\n  cinnabar list\n  cinnabar list --json')
    .action(
      action(async (context: Context) => {
        const rows = (await context.api().caches()).map(row);
        context.output.rows(rows, COLUMNS, 'No cache yet. Make one: cinnabar create my-cache');
        for (const { name, problems } of rows) {
          for (const { message } of problems) context.output.warn(`${name}: ${message}`);
        }
      }),
    );
}

export function showCommand(): Command {
  return new Command('show')
    .summary('one cache: settings, state and shards')
    .argument('<name>')
    .addHelpText(
      'after',
      '\nExamples:\n  cinnabar show quickstart\n  cinnabar show quickstart --json',
    )
    .action(
      action(async (context: Context, name: string) => {
        await showCache(context, await context.api().cache(name));
      }),
    );
}

export async function showCache(context: Context, cache: Cache): Promise<void> {
  const { output } = context;
  const { cluster, database } = cache;
  const shards = database === null ? [] : await context.api().shards(cluster.name);
  if (output.json) {
    output.data({ cluster, database, shards });
    return;
  }
  const items: [string, string][] = [
    ['Name', cluster.name],
    [
      'SKU',
      cluster.sku.name + (cluster.sku.capacity === undefined ? '' : ` x${cluster.sku.capacity}`),
    ],
    ['State', row(cache).state],
    ['High availability', cluster.properties.highAvailability ?? 'Enabled'],
  ];
  if (database === null) items.push(['Database', 'none yet']);
  else {
    const p = database.properties;
    items.push(
      ['Policy', p.clusteringPolicy],
      ['Address', `${cluster.properties.hostName}:${p.port}`],
      ['TLS', p.clientProtocol === 'Plaintext' ? 'off' : `on, CA: ${context.api().control.caFile}`],
      ['Access keys', p.accessKeysAuthentication ?? 'Enabled'],
      ['Eviction', p.evictionPolicy],
    );
    if (p.redisVersion !== undefined) items.push(['Redis version', p.redisVersion]);
    if (p.deferUpgrade === 'Deferred') items.push(['Newer engine', 'only when asked for']);
    if (p.notifyKeyspaceEvents) items.push(['Notifications', p.notifyKeyspaceEvents]);
    if (p.cinnabar?.azureStrict === true) items.push(['Azure strict', 'on']);
    if (p.cinnabar?.shardAccess === 'relayed') items.push(['Shards', 'through the endpoint']);
    if (p.cinnabar?.readFrom === 'replica') items.push(['Reads from', 'replicas']);
    if (p.cinnabar?.upgrade !== undefined) {
      items.push(['Way back', wayBack(p.cinnabar.upgrade)]);
    }
    const idle = p.cinnabar?.idleTimeoutMinutes ?? AZURES_IDLE_MINUTES;
    if (idle !== AZURES_IDLE_MINUTES) {
      items.push(['Idle clients end', idle === 0 ? 'never' : `after ${idle} min`]);
    }
  }
  const windows = cluster.properties.maintenanceConfiguration?.maintenanceWindows ?? [];
  if (windows.length > 0) items.push(['Maintenance', windows.map(windowText).join(', ')]);
  const labels = Object.entries(cluster.tags ?? {});
  if (labels.length > 0) items.push(['Tags', labels.map(([k, v]) => `${k}=${v}`).join(', ')]);
  output.pairs(items);
  if (database === null && cluster.properties.provisioningState !== 'Creating') {
    output.warn(`it has no database, so nobody can connect. Complete it: ${completion(cluster)}`);
  }
  for (const resource of [cluster, database]) {
    for (const { message } of resource?.properties.cinnabar?.warnings ?? []) output.warn(message);
  }
  if (shards.length > 0) {
    output.line();
    showShards(context, shards);
  }
}

/** 'Sunday 02:00 UTC for 9 h' */
function windowText({ schedule, startHourUtc, duration }: MaintenanceWindow): string {
  const hours = /^PT(\d+)H$/.exec(duration)?.[1];
  const from = `${schedule.dayOfWeek} ${String(startHourUtc).padStart(2, '0')}:00 UTC`;
  return `${from} for ${hours === undefined ? duration : `${hours} h`}`;
}

interface ShardRow {
  readonly shard: string;
  readonly role: string;
  readonly condition: string;
  readonly pid: string;
  readonly port: string;
  readonly memory: string;
  readonly keys: string;
  readonly lag: string;
}

const SHARD_COLUMNS: readonly Column<ShardRow>[] = [
  { title: 'SHARD', value: (r) => r.shard },
  { title: 'ROLE', value: (r) => r.role },
  { title: 'CONDITION', value: (r) => r.condition, shrinkTo: 10 },
  { title: 'PID', value: (r) => r.pid, align: 'right' },
  { title: 'PORT', value: (r) => r.port, align: 'right' },
  { title: 'MEMORY', value: (r) => r.memory, align: 'right' },
  { title: 'KEYS', value: (r) => r.keys, align: 'right' },
  { title: 'LAG', value: (r) => r.lag, align: 'right' },
];

function showShards(context: Context, shards: readonly ShardStatus[]): void {
  const rows = shards.flatMap(({ shard, instances }) =>
    instances.length === 0
      ? [shardRow(String(shard.index), shard.phase, shard.reason.message)]
      : instances.map((status) => ({
          ...shardRow(String(shard.index), status.role, status.condition),
          pid: String(status.instance.process?.pid ?? '-'),
          port: status.clientPort === 0 ? '-' : String(status.clientPort),
          memory: status.usedMemoryBytes === null ? '-' : bytes(status.usedMemoryBytes),
          keys: status.keys === null ? '-' : String(status.keys),
          lag: status.lagBytes === null ? '-' : bytes(status.lagBytes),
        })),
  );
  context.output.rows(rows, SHARD_COLUMNS, 'No shards.');
  for (const { shard } of shards) {
    if (shard.phase === 'down')
      context.output.warn(`shard ${shard.index} is down: ${shard.reason.message}`);
  }
}

function shardRow(shard: string, role: string, condition: string): ShardRow {
  return { shard, role, condition, pid: '-', port: '-', memory: '-', keys: '-', lag: '-' };
}
