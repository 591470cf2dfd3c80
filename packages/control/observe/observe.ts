/**
 * Answers what users ask about a database that works. Most of it is counted by the endpoint, where
 * every command passes; with `OSSCluster` clients go past it, and the engines are asked as well.
 * Nothing is collected while nobody asks.
 */
import type { ClientView, LargeView } from '../../endpoint/control-protocol.ts';
import { mergeCounters, mergeLarge } from '../../endpoint/supervisor-protocol.ts';
import type { EngineLink } from '../../engine/contract.ts';
import type { EndpointFleet } from '../endpoints/contract.ts';
import { ControlError } from '../errors.ts';
import type { ClusterRecord, DatabaseRecord, InstanceRecord } from '../store/records.ts';
import { shardsDirect } from '../store/records.ts';
import type {
  ClientRow,
  ClientsReport,
  LargeReport,
  Observer,
  SlowEntry,
  SlowReport,
  StatsReport,
} from './contract.ts';
import {
  clientsOf,
  countersOf,
  isOwnWork,
  largeOf,
  logEntries,
  slowClient,
} from './engine-stats.ts';
import { quantiles } from './histogram.ts';
import { ENGINE_DEADLINE_MS, ENGINE_LOG_ENTRIES } from './limits.ts';
import { prometheus, type Series } from './prometheus.ts';
import { type Reading, reportOf } from './report.ts';

export interface EngineAnswer<T> {
  readonly instance: InstanceRecord;
  readonly role: SlowEntry['role'];
  readonly result: T;
}

export interface ObserveDeps {
  readonly fleet: Pick<EndpointFleet, 'counters' | 'clients' | 'kill' | 'large'>;
  database(id: string): DatabaseRecord | null;
  databases(): readonly { readonly cluster: ClusterRecord; readonly database: DatabaseRecord }[];
  /** Each running engine of a database; one that does not answer is left out. */
  askEngines<T>(
    databaseId: string,
    ask: (link: EngineLink) => Promise<T>,
  ): Promise<EngineAnswer<T>[]>;
  now(): number;
}

/** Null: since counting began. */
function directNote(seconds: number | null): string {
  const time = seconds === null ? 'since each started' : `of ${seconds} s`;
  return `Clients of OSSCluster talk to the shards: these are the figures of the engines ${time}. They know their own time only, and no bytes per command.`;
}

export class Observe implements Observer {
  readonly #deps: ObserveDeps;

  constructor(deps: ObserveDeps) {
    this.#deps = deps;
  }

  async stats(id: string, seconds: number | null): Promise<StatsReport> {
    const direct = this.#direct(id);
    const before = seconds === null ? null : await this.#read(id, direct);
    if (seconds !== null) await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const now = await this.#read(id, direct);
    const rules = this.#deps.database(id)?.settings.guard ?? [];
    const note = direct ? directNote(seconds) : null;
    return reportOf(now, before, rules, direct ? 'engines' : 'endpoint', note);
  }

  async large(id: string, most: number): Promise<LargeReport> {
    const seen = await this.#deps.fleet.large(id);
    if (!this.#direct(id)) return { note: null, value: seen.slice(0, most) };
    const engines = await this.#deps.askEngines(id, (link) => largeLogs(id, link));
    // A replica repeats the writes of its primary, as if that had asked for them.
    const said = engines.flatMap(({ role, result }) =>
      role === 'replica' ? result.filter(({ kind }) => kind === 'large-reply') : result,
    );
    const all = mergeLarge([...seen, ...said]);
    return {
      note: `From the COMMANDLOG of the engines, which keep the last ${ENGINE_LOG_ENTRIES} of each kind and know neither how long they took nor who waited.`,
      value: all.slice(0, most),
    };
  }

  async clients(id: string, most: number): Promise<ClientsReport> {
    const atEndpoint = (await this.#deps.fleet.clients(id, most)).map(rowOf);
    if (!this.#direct(id)) return { note: null, value: atEndpoint };
    const engines = await this.#deps.askEngines(id, (link) =>
      link.command(['CLIENT', 'LIST'], ENGINE_DEADLINE_MS),
    );
    const direct = engines.flatMap(({ instance, result }) =>
      clientsOf(id, instance.id.slice(0, 8), String(result), this.#deps.now()).map(
        ({ number: _, database: __, ...row }): ClientRow => ({ ...row, latency: null }),
      ),
    );
    return {
      note: 'Clients of OSSCluster connect to each shard: this is what the engines list now. Who came and went in between is not seen.',
      value: [...atEndpoint, ...direct].sort((a, b) => a.idleMs - b.idleMs).slice(0, most),
    };
  }

  async kill(id: string, client: string): Promise<boolean> {
    const [prefix = '', number = ''] = client.split(':');
    if (number === '') return this.#deps.fleet.kill(client, 'killed');
    if (!/^\d{1,19}$/.test(number)) return false;
    const answers = await this.#deps.askEngines(id, async (link) => {
      const list = String(await link.command(['CLIENT', 'LIST'], ENGINE_DEADLINE_MS));
      return { link, list };
    });
    for (const { instance, result } of answers) {
      if (instance.id.slice(0, 8) !== prefix) continue;
      // Only who is listed: never a connection of ours.
      const listed = clientsOf(id, prefix, result.list, 0).some((each) => each.id === client);
      if (!listed) return false;
      await result.link.command(['CLIENT', 'KILL', 'ID', number], ENGINE_DEADLINE_MS);
      return true;
    }
    return false;
  }

  async slowlog(id: string, most: number, all: boolean): Promise<SlowReport> {
    const direct = this.#direct(id);
    const answers = await this.#deps.askEngines(id, slowLog);
    const lines = answers.flatMap(({ instance, role, result }) =>
      logEntries(result).map(({ at, amount, command, address, name }) => {
        const client = slowClient(address, command, direct);
        const entry: SlowEntry = {
          at,
          us: amount,
          command,
          shard: instance.shard,
          role,
          client,
          name,
        };
        return { entry, own: isOwnWork({ client, address, name }) };
      }),
    );
    const shown = all ? lines : lines.filter(({ own }) => !own);
    return {
      note: direct
        ? null
        : 'Connections of the endpoint to the engines carry many clients, so an engine cannot say whose command it was.',
      own: lines.length - shown.length,
      value: shown
        .map(({ entry }) => entry)
        .sort((a, b) => b.at - a.at || b.us - a.us)
        .slice(0, most),
    };
  }

  async metrics(): Promise<string> {
    const counted = await this.#deps.fleet.counters();
    const endpoint = new Map(counted.databases.map((each) => [each.id, each]));
    const series = await Promise.all(
      this.#deps.databases().map(async ({ cluster, database }): Promise<Series | null> => {
        const labels = { cache: cluster.name, group: cluster.group };
        if (!shardsDirect(database.settings)) {
          const counters = endpoint.get(database.id);
          return counters === undefined ? null : { labels, counters, since: counted.since };
        }
        const { counters, since } = await this.#read(database.id, true);
        return { labels, counters, since };
      }),
    );
    return prometheus(series.filter((each) => each !== null));
  }

  #direct(id: string): boolean {
    const database = this.#deps.database(id);
    if (database === null) {
      throw new ControlError('ResourceNotFound', 404, 'The database is gone.');
    }
    return shardsDirect(database.settings);
  }

  async #read(id: string, direct: boolean): Promise<Reading> {
    const { fleet, now } = this.#deps;
    const counted = await fleet.counters();
    const at = now();
    const seed = counted.databases.find((each) => each.id === id);
    if (!direct) return { at, since: counted.since, counters: seed ?? nothing(id) };
    const engines = await this.#deps.askEngines(id, (link) => engineCounters(id, link, at));
    const parts = engines.map(({ result }) => result);
    const [first = { since: at, epoch: 0, databases: [] }] = parts;
    const merged = parts.length === 0 ? first : mergeCounters(parts);
    // The rules of the seed acted, too; its commands are in the engines' figures already.
    const counters = merged.databases[0] ?? nothing(id);
    const guard = { ...counters.guard };
    for (const [command, { warned, refused }] of Object.entries(seed?.guard ?? {})) {
      const other = guard[command] ?? { warned: 0, refused: 0 };
      guard[command] = { warned: other.warned + warned, refused: other.refused + refused };
    }
    return { at, since: merged.since, counters: { ...counters, guard } };
  }
}

const nothing = (id: string): Reading['counters'] => ({
  id,
  connections: 0,
  opened: 0,
  closed: {},
  refused: {},
  bytesIn: 0,
  bytesOut: 0,
  commands: {},
  guard: {},
});

async function engineCounters(id: string, link: EngineLink, at: number) {
  const ask = (...args: string[]): Promise<unknown> => link.command(args, ENGINE_DEADLINE_MS);
  const info = String(await ask('INFO', 'server', 'stats', 'commandstats', 'clients'));
  const histograms = await ask('LATENCY', 'HISTOGRAM');
  const clients = clientsOf(id, '', String(await ask('CLIENT', 'LIST')), at).length;
  const uptimeS = Number(/uptime_in_seconds:(\d+)/.exec(info)?.[1] ?? 0);
  const counters = countersOf(id, info, histograms, clients);
  return { since: at - uptimeS * 1000, epoch: 0, databases: [counters] };
}

function rowOf({ latency, database: _, ...view }: ClientView): ClientRow {
  return { ...view, latency: latency.count === 0 ? null : quantiles(latency) };
}

/** COMMANDLOG is Valkey 8.1 and newer; before, there is the slow log alone. */
function slowLog(link: EngineLink): Promise<unknown> {
  return link.command(['SLOWLOG', 'GET', '-1'], ENGINE_DEADLINE_MS);
}

async function largeLogs(id: string, link: EngineLink): Promise<LargeView[]> {
  const all: LargeView[] = [];
  if (!(await link.commands(ENGINE_DEADLINE_MS)).has('commandlog|get')) return all;
  for (const kind of ['large-request', 'large-reply'] as const) {
    const reply = await link.command(['COMMANDLOG', 'GET', '-1', kind], ENGINE_DEADLINE_MS);
    for (const entry of logEntries(reply)) {
      const large = largeOf(id, kind, entry);
      if (large !== null) all.push(large);
    }
  }
  return all;
}
