/**
 * The data path as the control process sees it: one supervisor, its workers, one snapshot.
 *
 * Adopts what runs before it starts anything. When the supervisor dies, one of its workers starts the
 * next (`orphans.ts`), which gets the last snapshot. Nothing here decides what is served.
 */
import { join } from 'node:path';
import type {
  ClientView,
  Counters,
  DatabaseView,
  Event,
  LargeView,
  Snapshot,
  Successor,
} from '../../endpoint/control-protocol.ts';
import {
  type Message,
  mergeCounters,
  mergeLarge,
  type PublishResult,
  SUPERVISOR_PROTOCOL,
  SUPERVISOR_SOCKET,
  type WorkersEvent,
  withoutGauges,
} from '../../endpoint/supervisor-protocol.ts';
import { ControlError } from '../errors.ts';
import type { EndpointFleet, FleetStatus, WatchdogTarget } from './contract.ts';
import { endedOrKilled, endInOrder, prepareFolder, trimLog, workerPlan } from './launch.ts';
import { Lease } from './lease.ts';
import {
  ADOPT_TRIES,
  ANSWER_GRACE_MS,
  ANSWER_WAIT_MS,
  APPLY_WAIT_MS,
  RECOVER_PAUSE_MS,
  REPLACE_WAIT_MS,
} from './limits.ts';
import { Orphans, startSupervisor } from './orphans.ts';
import { Outlet } from './outlet.ts';
import { NoHello, Peer, PeerRefusal } from './peer.ts';
import { killHungSupervisor } from './silence.ts';
import { until, Wakeups } from './wakeups.ts';
import { heldBy, onceEach, WorkerLinks, type WorkerRequest } from './worker-links.ts';

export interface FleetOptions {
  /** Run folder for sockets: short, 0700, ours. */
  readonly folder: string;
  readonly workers: number;
  readonly build: string;
  /** Where supervisor and workers write their few lines; null: nowhere. */
  readonly logFile: string | null;
  say(reason: string, detail: string): void;
  /** The watchdog gave the engines their vote while nobody renewed the lease: take it back. */
  onVoteGiven(): void;
}

export class LocalFleet implements EndpointFleet {
  readonly #options: FleetOptions;
  readonly #links: WorkerLinks;
  readonly #orphans: Orphans;
  readonly #lease: Lease;
  readonly #outlet = new Outlet();
  readonly #holds = new Map<string, number>();
  readonly #wakeups = new Wakeups();
  #supervisor: Peer | null = null;
  #snapshot: Snapshot | null = null;
  #retired: Counters | null = null;
  /** Of supervisors that died: handed to the next one. */
  #base: Counters | null = null;
  #complete = false;
  #recovery: Promise<void> = Promise.resolve();
  #recovering = false;
  #meeting: Promise<void> | null = null;
  #leaving = false;
  #detached = false;

  constructor(options: FleetOptions) {
    this.#options = options;
    const { folder, build } = options;
    const event = (each: Event) => this.#outlet.tell(each);
    const view = { lastSnapshot: () => this.#snapshot, holds: () => this.#holds };
    const owner = { ...view, build, event, say: options.say };
    this.#links = new WorkerLinks({ ...owner, changed: () => this.#wakeups.wake() });
    this.#orphans = new Orphans({ ...owner, folder });
    this.#lease = new Lease(options);
  }

  async start(): Promise<void> {
    prepareFolder(this.#options.folder);
    trimLog(this.#options.logFile);
    const meeting = this.#meet();
    const met = () => {
      this.#meeting = null;
    };
    this.#meeting = meeting.then(met, met);
    const open = () => this.#openSupervisor();
    this.#supervisor =
      (await meeting) ?? (await startSupervisor(this.#orphans, this.#options, open));
    // One that died before it was ours: nobody else heard of it.
    if (!this.#supervisor.open) this.#lost('it died as it was met');
    // Adopted workers are reachable when this resolves.
    await until(this.#wakeups, APPLY_WAIT_MS, () =>
      this.#links.status().every((worker) => worker.state !== 'connecting'),
    );
  }

  /** Whoever is there: a supervisor with its workers, and workers without one. */
  async #meet(): Promise<Peer | null> {
    const running = await this.#adopt();
    await this.#orphans.find(new Set(this.#links.pids()));
    return running;
  }

  async publish(
    epoch: number,
    databases: readonly DatabaseView[],
  ): Promise<readonly { address: string; reason: string }[]> {
    const before = this.#snapshot;
    const snapshot: Snapshot = { epoch, databases };
    this.#snapshot = snapshot;
    // Without a wait where there is none: what is said next must not come before this.
    let supervisor = this.#supervisor;
    if (!supervisor?.open) {
      // Nor may it wait for the next supervisor: who lacks its epoch refuses a release.
      await this.#meeting;
      await this.#orphans.ask({ type: 'snapshot', snapshot }, ANSWER_WAIT_MS);
      supervisor = await this.#connected();
    }
    // Side by side, and nothing before it: clients may be waiting for what is said next. A worker waits
    // for sockets by itself; but one that had failed it takes for failed until the supervisor tried again.
    const failing = this.#links.problems().length > 0;
    const pushed = this.#links.push(snapshot);
    const plan = workerPlan(this.#options.workers, this.#options.build);
    const request = { type: 'publish', plan, snapshot, base: this.#base };
    const asked = supervisor.request(request, ANSWER_WAIT_MS).catch((error: Error) => {
      if (!(error instanceof PeerRefusal)) throw error; // some may have it: the next one begins with it
      this.#snapshot = before;
      const message = `the endpoint refused epoch ${epoch}: ${error.message}`;
      throw new ControlError(error.code, 409, message);
    });
    const { failed } = (await asked) as PublishResult;
    await Promise.all([
      failing ? pushed.then(() => this.#links.pushAgain(snapshot, failed)) : pushed,
      this.#orphans.ask({ type: 'snapshot', snapshot }, ANSWER_WAIT_MS),
    ]);
    // The supervisor has our plan now, so their successors are of our build.
    for (const pid of this.#links.misfits()) await this.#replace(supervisor, pid);
    const over = () => this.#leaving || !supervisor.open;
    await until(this.#wakeups, APPLY_WAIT_MS, () => over() || this.#applied(epoch));
    if (!this.#applied(epoch)) {
      const message = `not every endpoint worker applied epoch ${epoch} within ${APPLY_WAIT_MS} ms: ${JSON.stringify(this.#links.status())}`;
      throw new ControlError('EndpointNotReady', 503, message);
    }
    await this.#orphans.drain();
    return onceEach([...this.#links.problems(), ...failed]);
  }

  async prepare(shard: string): Promise<void> {
    await this.#ask({ type: 'prepare', shard }, ANSWER_WAIT_MS);
  }

  async hold(shard: string, deadlineMs: number): Promise<void> {
    this.#holds.set(shard, performance.now() + deadlineMs);
    const word = { type: 'hold', shard, deadlineMs };
    const problem = await this.#tell(word, deadlineMs + ANSWER_GRACE_MS);
    if (problem === null) return;
    await this.release(shard, 0, null).catch(() => {}); // each releases itself at the deadline anyway
    const why = `shard ${shard} was not quiet within ${deadlineMs} ms: ${problem}`;
    throw new ControlError('HoldExpired', 504, why);
  }

  async expect(shard: string, epoch: number, successor: Successor): Promise<void> {
    const problem = await this.#tell({ type: 'expect', shard, epoch, successor });
    if (problem !== null) throw new ControlError('NotExpected', 500, problem);
  }

  async release(shard: string, epoch: number, successor: Successor | null): Promise<void> {
    this.#holds.delete(shard);
    const problem = await this.#tell({ type: 'release', shard, epoch, successor });
    if (problem !== null) throw new ControlError('ReleaseFailed', 500, problem);
  }

  async counters(): Promise<Counters> {
    const parts = (await this.#links.counters()).concat(this.#retired ?? this.#base ?? []);
    if (parts.length === 0) return { since: Date.now(), epoch: 0, databases: [] };
    return { ...mergeCounters(parts), epoch: this.#links.lowestEpoch() };
  }

  async clients(database: string, most: number): Promise<ClientView[]> {
    const parts = await this.#links.gather<ClientView>({ type: 'clients', database, most });
    return parts.sort((a, b) => a.idleMs - b.idleMs).slice(0, most);
  }

  async kill(client: string, reason: string): Promise<boolean> {
    const answers = await this.#ask({ type: 'kill', client, reason }, ANSWER_WAIT_MS);
    return [...answers.values()].includes(true);
  }

  /** To all workers: only the one that asked knows the serial. */
  async answerConfig(database: string, serial: string, error: string | null): Promise<void> {
    await this.#ask({ type: 'config-answer', database, serial, error }, ANSWER_WAIT_MS);
  }

  async large(database: string): Promise<LargeView[]> {
    return mergeLarge(await this.#links.gather<LargeView>({ type: 'large', database }));
  }

  async reload(): Promise<void> {
    await this.#replace(await this.#connected(), null);
  }

  renewLease(targets: readonly WatchdogTarget[]): void {
    this.#lease.renew(this.#supervisor, targets);
  }

  onEvent(listener: (event: Event) => void): void {
    this.#outlet.listen(listener);
  }

  status(): FleetStatus {
    return { supervisor: this.#supervisor?.hello.pid ?? null, workers: this.#links.status() };
  }

  /** The engines get their vote at once: nobody is here to promote. */
  detach(): void {
    this.#leaving = true;
    this.#detached = true;
    this.#lease.end(this.#supervisor);
    this.#close();
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#leaving = true;
    this.#wakeups.wake();
    await this.#recovery; // it may just be starting what is to be stopped
    const supervisor = this.#supervisor ?? (await this.#adopt());
    const pids = this.#links.pids();
    if (supervisor !== null) {
      pids.push(supervisor.hello.pid);
      await supervisor
        .request({ type: 'stop', deadlineMs } as { type: string }, ANSWER_WAIT_MS)
        .catch((error: Error) => this.#options.say('stop', error.message));
    }
    pids.push(...(await this.#orphans.find(new Set(pids))));
    await this.#orphans.drain();
    for (const pid of await endedOrKilled(pids, deadlineMs + APPLY_WAIT_MS / 5)) {
      this.#options.say('stop', `process ${pid} did not end in time: killed`);
    }
    this.#close();
  }

  #close(): void {
    const supervisor = this.#supervisor;
    this.#supervisor = null;
    supervisor?.end();
    this.#links.close();
    this.#orphans.close();
  }

  /** About a shard. Answers which worker has clients there and could not do it, and why. */
  async #tell(word: WorkerRequest, ms = ANSWER_WAIT_MS): Promise<string | null> {
    for (const [pid, answer] of await this.#ask(word, ms)) {
      if (!heldBy(pid, answer)) return `worker ${pid}: ${String(answer)}`;
    }
    return null;
  }

  /** Everybody who has clients, orphans included. By pid. */
  async #ask(word: WorkerRequest, ms: number): Promise<Map<number, unknown>> {
    // Nobody that has clients may be missed because it is just changing hands.
    if (this.#meeting !== null) await this.#meeting;
    const parts = await Promise.all([this.#orphans.ask(word, ms), this.#links.ask(word, ms)]);
    return new Map(parts.flatMap((part) => [...part]));
  }

  /**
   * Every worker that serves has the epoch. The first time, all planned workers; later one that is
   * only now starting is not waited for: it begins with this snapshot or a newer one.
   */
  #applied(epoch: number): boolean {
    const ready = this.#links.applied(epoch);
    if (ready >= this.#options.workers) this.#complete = true;
    return ready > 0 && this.#complete;
  }

  async #connected(): Promise<Peer> {
    await until(this.#wakeups, APPLY_WAIT_MS, () => this.#served);
    const supervisor = this.#supervisor;
    if (supervisor?.open) return supervisor;
    throw new ControlError('EndpointGone', 503, 'the endpoint supervisor is not running');
  }

  /** A running supervisor of our protocol; one of another protocol is stopped in order. */
  async #adopt(): Promise<Peer | null> {
    const peer = await this.#greeted(ADOPT_TRIES);
    if (peer === null) return null;
    if (peer.hello.protocol === SUPERVISOR_PROTOCOL) return peer;
    const { pid, protocol } = peer.hello;
    this.#options.say('supervisor-replaced', `${pid} speaks protocol ${protocol}`);
    peer.close();
    await endInOrder(pid, APPLY_WAIT_MS);
    return null;
  }

  /** Null when nobody is there, or somebody who hangs: that one is killed. */
  async #greeted(tries: number): Promise<Peer | null> {
    try {
      return await this.#openSupervisor();
    } catch (error) {
      if (!(error instanceof NoHello)) return null;
    }
    const killed = await killHungSupervisor(this.#options.folder);
    if (killed === null) return tries > 1 ? this.#greeted(tries - 1) : null;
    this.#options.say('supervisor-hung', `${killed}: it says no hello; killed`);
    return null;
  }

  async #openSupervisor(): Promise<Peer> {
    const listed = Promise.withResolvers<void>();
    const peer = await Peer.open({
      path: join(this.#options.folder, SUPERVISOR_SOCKET),
      protocol: SUPERVISOR_PROTOCOL,
      build: this.#options.build,
      onMessage: (message) => {
        this.#fromSupervisor(message);
        if (message.type === 'workers' || message.type === 'refused') listed.resolve();
      },
      onClose: (reason) => {
        listed.resolve();
        if (this.#supervisor === peer) this.#lost(reason);
      },
    });
    if (peer.hello.protocol === SUPERVISOR_PROTOCOL) await listed.promise;
    return peer;
  }

  #fromSupervisor(message: Message): void {
    if (message.type === 'worker-died') {
      this.#options.say('worker-died', `${message['pid']}: ${message['detail']}`);
    } else if (message.type === 'workers') {
      const event = message as unknown as WorkersEvent;
      this.#retired = event.retired;
      this.#links.update(event.workers);
    }
  }

  get #served(): boolean {
    return this.#supervisor?.open === true;
  }

  #lost(reason: string): void {
    this.#wakeups.wake();
    if (!this.#recovering) this.#recovery = this.#recover(reason);
  }

  async #recover(reason: string): Promise<void> {
    if (this.#leaving) return;
    this.#options.say('supervisor-lost', `${reason}; starting another`);
    this.#recovering = true;
    let told = false;
    while (!this.#leaving && !told) {
      try {
        // The next one may die before it has everything.
        if (!this.#served) {
          this.#supervisor = null;
          this.#rescueCounts();
          this.#complete = false;
          await this.start();
          // To publish now would be to wait for the next one, which only this loop starts.
          if (!this.#served) throw new Error('the next one died at once');
        }
        const last = this.#snapshot;
        if (last !== null && !this.#leaving) await this.publish(last.epoch, last.databases);
        this.#lease.renew(this.#supervisor);
        told = this.#served;
      } catch (error) {
        this.#options.say('supervisor-lost', String(error));
        await new Promise((resolve) => setTimeout(resolve, RECOVER_PAUSE_MS));
      }
    }
    if (this.#detached) this.#close();
    this.#recovering = false;
  }

  /** The supervisor kept the counts of workers that are gone; its own go with it. */
  #rescueCounts(): void {
    const parts = [...this.#links.update([]).values(), this.#retired ?? this.#base]
      .filter((part) => part !== null)
      .map(withoutGauges);
    this.#retired = null;
    this.#base = parts.length === 0 ? null : mergeCounters(parts);
  }

  /** One worker, or all of them (null). */
  async #replace(supervisor: Peer, pid: number | null): Promise<void> {
    const request = { type: 'replace', pid, deadlineMs: REPLACE_WAIT_MS };
    await supervisor.request(request, REPLACE_WAIT_MS + ANSWER_GRACE_MS);
  }
}
