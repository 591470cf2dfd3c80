/**
 * The data path of a database behind one address: commands of many clients, routed to shards over
 * few lanes. This file holds what the worker calls; the work is in `session.ts` (clients), `lane.ts`
 * (engines), `shard.ts` (who may be talked to now) and `dispatch.ts` (what becomes of a command).
 */
import { type Reply, ReplyParser } from '../../resp/index.ts';
import { AZURE_BLOCKED, type CommandTable } from '../../resp/table/index.ts';
import type { ClientView, DatabaseView, LargeView, Successor } from '../control-protocol.ts';
import type { AdmittedClient, DataPath, DataPathHost, PathCounters } from '../data-path.ts';
import { AcrossWorkers } from './across-workers.ts';
import { drain } from './drain.ts';
import { type EngineGreeting, readGreeting } from './greeting.ts';
import { GuardBook } from './guard-book.ts';
import { knownTable, tableFrom } from './known-tables.ts';
import { LISTENERS_FIRST_MS, WAIT_SWEEP_MS } from './limits.ts';
import { ListenersFirst } from './listeners-first.ts';
import { Logins } from './logins.ts';
import { Monitors } from './monitor.ts';
import { NewerWords } from './newer.ts';
import { rehearse } from './rehearsal.ts';
import { Retries } from './retries.ts';
import type { Scripts } from './scripts.ts';
import { Session } from './session.ts';
import { SettingRequests } from './setting-requests.ts';
import type { Shard } from './shard.ts';
import { ShardedFirst } from './sharded-first.ts';
import { Subscriptions } from './subscriptions.ts';
import { expect, succeed, takeBack } from './succession.ts';
import { Topology } from './topology.ts';
import { unread } from './unread.ts';
import { World } from './world.ts';

/** First byte of a list in RESP: anything else is an error. */
const LIST = 42;

interface Alone {
  readonly shard: string;
  readonly whole: ProxyPath;
}

export class ProxyPath implements DataPath {
  readonly world: World;
  view: DatabaseView;
  /** Null until an engine was asked: commands wait. */
  table: CommandTable | null = null;
  readonly sessions = new Map<string, Session>();
  /** Sessions that wait for a shard; looked through for overdue ones. */
  readonly patient = new Set<Session>();
  /** The path of the whole database in this worker: itself, if it is that one. */
  readonly whole: ProxyPath;
  /** All paths of the database in this worker. */
  readonly paths: Set<ProxyPath>;
  /** Of the whole database, like the monitors. */
  readonly logins: Logins;
  /** The same database in the other workers. */
  readonly across: AcrossWorkers;
  readonly subscriptions: Subscriptions;
  readonly listenersFirst: ListenersFirst;
  readonly shardedFirst: ShardedFirst;
  readonly #releasing = new Set<Shard>();
  /** Who is expected to be primary, and when all who listen are there. */
  readonly #expected = new Map<Shard, { readonly node: string; readonly listens: Promise<void> }>();
  readonly monitors: Monitors;
  readonly guard: GuardBook;
  readonly newer = new NewerWords();
  readonly settings: SettingRequests;
  /** What the engine says about itself in HELLO, by field. */
  greeting: EngineGreeting | null = null;
  /** The engines that ran when the table was asked for. */
  #tableOf = '';
  #sweep: NodeJS.Timeout;
  #sweeps = 0;
  #asking = false;

  /** `alone`: serves this shard only, beside the path of the whole database, and leads to the others by MOVED. */
  constructor(host: DataPathHost, database: string, alone: Alone | null = null) {
    const shard = alone?.shard ?? null;
    this.whole = alone?.whole ?? this;
    this.paths = alone?.whole.paths ?? new Set();
    this.paths.add(this);
    this.view = { ...NOTHING, id: database };
    this.world = new World(host, database, shard ?? database, (world) => ({
      topology: new Topology(world, this.view, shard),
      retries: new Retries(world),
    }));
    this.guard = new GuardBook(this.world);
    this.settings = new SettingRequests(host, database);
    this.across = new AcrossWorkers(this);
    this.monitors = alone?.whole.monitors ?? new Monitors(this);
    this.logins = alone?.whole.logins ?? new Logins(this);
    this.scripts.onNew = (body) =>
      this.across.tell({ kind: 'script', body: body.toString('base64') });
    this.subscriptions = new Subscriptions(this);
    this.listenersFirst = new ListenersFirst(this);
    this.shardedFirst = new ShardedFirst(this);
    this.world.learned = () => this.subscriptions.topologyChanged();
    this.world.slotsMoved = () => {
      const { topology } = this.world;
      if (this.across.alone || topology.only !== null) return;
      this.across.tell({ kind: 'slots', owned: topology.owned(), epoch: topology.epoch });
    };
    this.#sweep = setInterval(() => this.#onSweep(), WAIT_SWEEP_MS);
    this.#sweep.unref();
  }

  /** Plain commands may skip `dispatch`: nobody wants to see each of them. */
  get shortWay(): boolean {
    return !this.monitors.watching;
  }

  /** Bodies that clients have shown, here or in another worker. */
  get scripts(): Scripts {
    return this.world.scripts;
  }

  refreshSessions(): void {
    for (const session of this.sessions.values()) session.state.refresh();
  }

  apply(view: DatabaseView, epoch: number): void {
    this.view = view;
    unread.allow(this, view.limits.outputBufferBytes);
    this.guard.rules = view.guard;
    this.newer.view = view.newer;
    this.#withhold();
    this.world.topology.apply(view, epoch);
    this.#applyUsers();
    this.refreshSessions();
    this.subscriptions.topologyChanged();
    this.listenersFirst.changed();
    for (const tracking of this.world.tracking) tracking.topologyChanged();
    this.#askTable();
  }

  /** What has rules of its own does not take the short way. */
  #withhold(): void {
    const { azureStrict } = this.view;
    const azure = azureStrict ? AZURE_BLOCKED : [];
    this.table?.withhold(new Set([...this.guard.commands, ...this.newer.commands, ...azure]));
  }

  /** A key that is no longer valid ends exactly the sessions that logged in with it. */
  #applyUsers(): void {
    const users = new Map(this.view.users.map((user) => [user.name, user]));
    for (const session of [...this.sessions.values()]) {
      const { user, secretHash } = session.state;
      if (user === null) continue;
      const now = users.get(user.name);
      if (now === undefined) session.end('user-removed');
      else if (!now.secretHashes.includes(secretHash)) session.end('key-regenerated');
      else session.state.newUserView(now);
    }
  }

  /** The table comes from the engine that runs (design, decision 12); any user may ask for it. */
  #askTable(): void {
    const running = this.view.engines ?? [];
    const engines = running.join();
    if ((this.table !== null && this.#tableOf === engines) || this.#asking) return;
    const shard = this.world.topology.first();
    const user = this.view.users[0];
    if (shard === null || user === undefined) return;
    const group = shard.group({
      user: user.name,
      twin: user.twin.name,
      password: user.twin.password,
      protocol: 2,
      database: 0,
      tracking: null,
      noTouch: false,
    });
    const lane = shard.smallLane(group);
    if (lane === null) return;
    this.#asking = true;
    const known = knownTable(running);
    const end = (table: CommandTable | null): void => {
      this.#asking = false;
      if (table === null) return;
      this.table = table;
      this.#tableOf = engines;
      this.#withhold();
      for (const session of this.sessions.values()) this.world.wake(session);
    };
    // Put on the lane together, so that nothing of anybody else comes between the two protocols.
    let resp3: Buffer | null = null;
    lane.question(['HELLO', '3'], (reply) => {
      resp3 = reply;
    });
    lane.question(['HELLO', '2'], (reply) => {
      const served = reply !== null && resp3 !== null;
      if (served) this.greeting = readGreeting(reply, resp3 ?? reply);
      if (known !== null) end(served && reply[0] === LIST ? known : null);
    });
    if (known !== null) return;
    lane.question(['COMMAND'], (bytes) => {
      if (bytes === null || bytes[0] !== LIST) return end(null);
      const onReply = (reply: Reply): void => end(tableFrom(running, reply));
      new ReplyParser({ onReply }).push(bytes);
    });
  }

  accept(client: AdmittedClient): void {
    this.sessions.set(client.id, new Session(this, client));
  }

  #onSweep(): void {
    this.world.tick();
    this.world.merges.sweep(this.world.now);
    this.#askTable();
    for (const shard of this.world.topology.shards) shard.listenForSilence();
    for (const session of this.patient) {
      if (session.waits.anyOver(this.world.now)) this.world.wake(session);
    }
    if (++this.#sweeps % 100 === 0) {
      for (const shard of this.world.topology.shards) shard.sweep();
      if (this === this.whole) this.logins.sweep();
    }
  }

  async prepare(shard: string): Promise<void> {
    rehearse(this);
    await this.world.topology.shards.find((candidate) => candidate.id === shard)?.prepare();
  }

  hold(shard: string, deadlineAt: number): Promise<void> {
    const found = this.world.topology.shards.find((candidate) => candidate.id === shard);
    if (found === undefined) return Promise.resolve();
    this.#releasing.delete(found);
    this.#expected.delete(found);
    return found.hold(deadlineAt);
  }

  expect(shard: string, successor: Successor): void {
    const found = this.world.topology.shards.find((candidate) => candidate.id === shard);
    if (found === undefined) return;
    expect(found, successor, () => {
      this.#expected.delete(found);
      void this.subscriptions.follow(found, LISTENERS_FIRST_MS);
    });
    const listens = this.listenersFirst.subscribed(found);
    this.#expected.set(found, { node: successor.node, listens });
  }

  release(shard: string, _epoch: number, successor: Successor | null): void {
    const found = this.world.topology.shards.find((candidate) => candidate.id === shard);
    if (found === undefined) return;
    if (successor === null) takeBack(found);
    if (successor === null && found.view.state !== 'held') return found.release();
    if (successor !== null) succeed(found, successor);
    const expected = this.#expected.get(found);
    this.#expected.delete(found);
    const ready = expected !== undefined && expected.node === found.view.primary?.node;
    // A hold that comes meanwhile has its own release.
    this.#releasing.add(found);
    const listens = ready ? expected.listens : this.listenersFirst.subscribed(found);
    void listens.then(() => {
      if (this.#releasing.delete(found)) found.release();
    });
  }

  counters(): PathCounters {
    return { commands: this.world.meter.read(), guard: this.guard.counts() };
  }

  clients(): ClientView[] {
    const now = performance.now();
    return [...this.sessions.values()].map((session) => ({
      id: session.id,
      database: this.view.id,
      address: session.client.address,
      name: session.state.name,
      user: session.state.user?.name ?? '',
      openedAt: session.client.openedAt,
      idleMs: Math.round(now - session.activeAt),
      state: session.state.describe(),
      tls: session.client.tls,
      library: [session.state.libName, session.state.libVersion].filter(Boolean).join(' '),
      commands: session.commands,
      lastCommand: session.lastCommand,
      bytesIn: 0,
      bytesOut: 0,
      latency: session.state.latency.read(),
    }));
  }

  kill(client: string, reason: string): boolean {
    const session = this.sessions.get(client);
    if (session === undefined) return false;
    session.end(reason);
    return true;
  }

  configAnswered(serial: string, error: string | null): void {
    this.settings.answered(serial, error);
  }

  waiting(client: string): boolean {
    const session = this.sessions.get(client);
    if (session === undefined) return false;
    const listens = session.state.subscriber !== null || this.monitors.has(session);
    return listens || session.order.head !== null;
  }

  asked(question: object): unknown {
    return this.across.asked(question);
  }

  told(notice: object, from: number): void {
    this.across.told(notice, from);
  }

  neighbourJoined(pid: number, eldest: boolean): void {
    this.across.joined(pid, eldest);
  }

  neighbourLeft(pid: number): void {
    if (this === this.whole) this.monitors.elsewhere(pid, 0);
  }

  large(): readonly LargeView[] {
    return this.world.large.log.read();
  }

  drain(deadlineAt: number): Promise<void> {
    return drain(this, deadlineAt);
  }

  close(): void {
    clearInterval(this.#sweep);
    this.world.retries.close();
    this.settings.close();
    this.subscriptions.close();
    for (const session of [...this.sessions.values()]) session.end('endpoint-closed');
    for (const shard of this.world.topology.shards) shard.close();
    this.paths.delete(this);
    unread.allow(this, null);
  }
}

/** Before the first `apply`: nobody may log in, and there is nowhere to go. */
const NOTHING: DatabaseView = {
  id: '',
  policy: 'EnterpriseCluster',
  listen: [],
  certificate: null,
  users: [],
  limits: { maxConnections: 0, idleTimeoutMs: 0, outputBufferBytes: Number.MAX_SAFE_INTEGER },
  guard: [],
  azureStrict: false,
  readFrom: 'primary',
  shards: [],
};
