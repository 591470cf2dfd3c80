/**
 * Watching one engine: two open connections, a ping five times a second (a replica: once), the
 * stream position once a second, and what follows from silence.
 *
 * A closed connection is not a death: an application may close it (CLIENT KILL), a limit may. So
 * the close of the first connection asks the process table and then the second connection; an
 * answer there is a false alarm, said and forgotten (engine rule 2). Silence is only reported here,
 * with what tells hung from busy: the process state, and whether CPU time still grows. The verdict
 * is the plan's.
 */
import type {
  EngineFacts,
  EngineLink,
  EngineLogin,
  ProcessFacts,
  StreamFacts,
} from '../../engine/contract.ts';
import { EngineError } from '../../engine/index.ts';
import type { Condition, Sighting } from '../plan/model.ts';
import type { InstanceRecord } from '../store/records.ts';
import type { ExecutorDeps } from './deps.ts';
import {
  DYING_MS,
  DYING_POLL_MS,
  FACTS_DEADLINE_MS,
  LINK_DEADLINE_MS,
  LINK_QUICK_TRIES,
  LINK_RETRY_MS,
  LINK_RETRY_SLOW_MS,
  PING_DEADLINE_MS,
  PING_EVERY_MS,
  PING_REPLICA_EVERY_MS,
  PINGS_PER_SAMPLE,
  SAMPLES_PER_LOOK,
  SECOND_OPINION_MS,
  STALE_LOOK_MS,
  START_BACKOFF_MAX_MS,
  START_BACKOFF_MS,
} from './limits.ts';

/** The engine itself ended the conversation; nobody does that who is dead or hangs. */
const TURNED_AWAY: ReadonlySet<string> = new Set(['engine-refused', 'engine-closed']);

export interface WatchEvents {
  /** Something that the plan may care about changed. */
  changed(): void;
  /** A fresh look at the stream, once a second. */
  sampled(facts: EngineFacts): void;
  falseAlarm(reason: string): void;
  /** It may be dead or hung: the first sign of it. */
  alarm(): void;
  /** It did not answer, and does again. */
  calm(): void;
}

export class Watch {
  readonly #deps: ExecutorDeps;
  readonly #events: WatchEvents;
  readonly #login: EngineLogin;
  /** Settings that must hold before anything is read (engine rule 28). */
  readonly #first: Readonly<Record<string, string>>;
  #instance: InstanceRecord;
  #main: EngineLink | null = null;
  #spare: EngineLink | null = null;
  #condition: Condition = 'unknown';
  #since: number;
  #process: ProcessFacts | null = null;
  #stillSince = 0;
  #lookedAt = 0;
  #facts: EngineFacts | null = null;
  #factsAt = 0;
  #configured = -1;
  #failures = 0;
  #startNotBefore = 0;
  #pings = 0;
  #stopped = false;
  /** Grows when the process changes: answers that belong to an older one are dropped. */
  #round = 0;
  #timer: { cancel(): void } | null = null;

  constructor(
    deps: ExecutorDeps,
    instance: InstanceRecord,
    login: EngineLogin,
    first: Readonly<Record<string, string>>,
    events: WatchEvents,
  ) {
    this.#deps = deps;
    this.#instance = instance;
    this.#login = login;
    this.#first = first;
    this.#events = events;
    this.#since = deps.clock.now();
    if (instance.phase === 'running') void this.#connect(this.#round, 0);
  }

  /** The connection for commands of the control process; throws when there is none now. */
  get link(): EngineLink {
    if (this.#main === null || this.#main.closed) {
      throw new Error(`no connection to instance ${this.#instance.id.slice(0, 8)} now`);
    }
    return this.#main;
  }

  sighting(): Sighting {
    return {
      process: this.#process === null ? 'none' : this.#process.state,
      condition: this.#condition,
      since: this.#since,
      stillSince: this.#stillSince,
      facts: this.#facts,
      factsAt: this.#factsAt,
      configured: this.#configured,
      startNotBefore: this.#startNotBefore,
    };
  }

  get memory(): number {
    return this.#process?.rssBytes ?? 0;
  }

  /** The record changed: another process, or none. */
  update(instance: InstanceRecord): void {
    const { process: before, phase } = this.#instance;
    this.#instance = instance;
    const now = instance.process;
    const same = before?.pid === now?.pid && before?.startTicks === now?.startTicks;
    const back = phase === 'leaving' && instance.phase === 'running';
    if (same && !back) return;
    this.#forget();
    if (instance.phase === 'running') void this.#connect(this.#round, 0);
  }

  /** Looks at the process table again; cheap. */
  inspect(): void {
    const process = this.#instance.process;
    const before = this.#process;
    this.#process = process === null ? null : this.#deps.node.inspect(process);
    const now = this.#deps.clock.now();
    // Compared with a look of long ago, work says nothing of the moment.
    const compares = now - this.#lookedAt < STALE_LOOK_MS;
    const worked = compares && before?.cpuTicks !== this.#process?.cpuTicks;
    if (worked || this.#process?.runnable === true) this.#stillSince = now;
    this.#lookedAt = now;
  }

  /** Asks for fresh facts now; failures show as the condition. */
  async refresh(): Promise<void> {
    const round = this.#round;
    this.inspect();
    const link = this.#main;
    if (link === null || link.closed) return;
    const askedAt = this.#deps.clock.now();
    try {
      const facts = await link.facts(FACTS_DEADLINE_MS);
      if (round === this.#round) this.#learn(facts, askedAt);
    } catch {
      // The ping beside this one decides what the silence means.
    }
  }

  configuredAt(generation: number): void {
    this.#configured = generation;
  }

  startFailed(): void {
    const delay = Math.min(START_BACKOFF_MS * 2 ** this.#failures, START_BACKOFF_MAX_MS);
    this.#failures++;
    this.#startNotBefore = this.#deps.clock.now() + delay;
  }

  startSucceeded(): void {
    this.#failures = 0;
    this.#startNotBefore = 0;
  }

  stop(): void {
    this.#stopped = true;
    this.#forget();
  }

  #forget(): void {
    this.#round++;
    this.#timer?.cancel();
    this.#main?.close();
    this.#spare?.close();
    this.#main = null;
    this.#spare = null;
    this.#facts = null;
    this.#configured = -1;
    this.#process = null;
    this.#set('unknown');
  }

  #set(condition: Condition, since = this.#deps.clock.now()): void {
    if (condition === this.#condition) return;
    const before = this.#condition;
    this.#condition = condition;
    this.#since = since;
    if (condition === 'mute') this.#events.alarm();
    else if (before === 'mute' && condition === 'answering') this.#events.calm();
  }

  #isGone(): boolean {
    this.inspect();
    return this.#process?.state === 'gone';
  }

  #current(round: number): boolean {
    return round === this.#round && !this.#stopped;
  }

  #learn(facts: EngineFacts, askedAt: number): void {
    this.#facts = facts;
    this.#factsAt = askedAt;
    this.#set(facts.loading ? 'loading' : 'answering');
  }

  async #connect(round: number, attempt: number): Promise<void> {
    if (!this.#current(round)) return;
    if (this.#isGone()) return this.#events.changed();
    try {
      const link = await this.#deps.node.link(this.#instance.socket, this.#login, LINK_DEADLINE_MS);
      if (!this.#current(round)) return link.close();
      if (Object.keys(this.#first).length > 0) await link.configure(this.#first, LINK_DEADLINE_MS);
      const askedAt = this.#deps.clock.now();
      const facts = await link.facts(FACTS_DEADLINE_MS);
      if (!this.#current(round)) return link.close();
      this.#main = link;
      this.#configured = -1;
      this.#learn(facts, askedAt);
      link.onClose((reason) => void this.#lost(round, link, reason));
      this.#beat(round);
      void this.#openSpare(round);
      this.#events.changed();
    } catch (error) {
      if (!this.#current(round)) return;
      // No socket yet, or an engine that does not answer: the same question again. One that turns us
      // away (all its connections are taken) lives, and serves those that it has.
      const refused = error instanceof EngineError && TURNED_AWAY.has(error.code);
      if (refused) this.#set('unknown');
      else if (attempt >= LINK_QUICK_TRIES) this.#set('mute');
      const delay = attempt < LINK_QUICK_TRIES ? LINK_RETRY_MS : LINK_RETRY_SLOW_MS;
      this.#timer = this.#deps.clock.later(delay, () => void this.#connect(round, attempt + 1));
      if (this.#condition === 'mute') this.#events.changed();
    }
  }

  async #openSpare(round: number): Promise<void> {
    try {
      const link = await this.#deps.node.link(this.#instance.socket, this.#login, LINK_DEADLINE_MS);
      if (!this.#current(round)) return link.close();
      this.#spare = link;
    } catch {
      this.#spare = null; // one connection must do; the next reconnect tries again
    }
  }

  /** The alarm: the first connection is closed. */
  async #lost(round: number, link: EngineLink, reason: string): Promise<void> {
    if (!this.#current(round) || this.#main !== link) return;
    this.#main = null;
    this.#timer?.cancel();
    this.#events.alarm();
    if (this.#isGone()) return this.#events.changed();
    const spare = this.#spare;
    this.#spare = null;
    try {
      if (spare === null) throw new Error('no second connection');
      await spare.ping(SECOND_OPINION_MS);
      if (!this.#current(round)) return spare.close();
      this.#main = spare;
      spare.onClose((why) => void this.#lost(round, spare, why));
      this.#events.falseAlarm(reason);
      this.#beat(round);
      void this.#openSpare(round);
    } catch {
      if (!this.#current(round)) return;
      spare?.close();
      if (!(await this.#diesNow(round))) this.#set('mute');
      if (!this.#current(round)) return;
      this.#events.changed();
      void this.#connect(round, 0);
    }
  }

  /** A process closes its sockets a moment before it is gone; with much memory, a longer one. */
  async #diesNow(round: number): Promise<boolean> {
    const deadline = this.#deps.clock.now() + DYING_MS;
    while (this.#current(round) && this.#deps.clock.now() < deadline) {
      if (this.#isGone()) return true;
      await this.#deps.clock.sleep(DYING_POLL_MS);
    }
    return this.#isGone();
  }

  /** Everything, and whether something changed that the plan may care about. */
  async #look(link: EngineLink, round: number, askedAt: number): Promise<void> {
    const facts = await link.facts(FACTS_DEADLINE_MS);
    if (!this.#current(round)) return;
    const changed = differs(this.#facts, facts);
    this.#learn(facts, askedAt);
    if (changed) this.#events.changed();
  }

  #beat(round: number): void {
    // A replica's silence is not urgent: nobody waits for it.
    const every = this.#facts?.role === 'replica' ? PING_REPLICA_EVERY_MS : PING_EVERY_MS;
    // All watches beat together: one waking for twenty answers instead of twenty for one each.
    const delay = every - (this.#deps.clock.now() % every);
    this.#timer = this.#deps.clock.later(delay, () => void this.#ping(round));
  }

  async #ping(round: number): Promise<void> {
    const link = this.#main;
    if (!this.#current(round) || link === null) return;
    const before = this.#condition;
    const askedAt = this.#deps.clock.now();
    try {
      const perSample = this.#facts?.role === 'replica' ? 1 : PINGS_PER_SAMPLE;
      if (++this.#pings % (perSample * SAMPLES_PER_LOOK) === 0) {
        await this.#look(link, round, askedAt);
      } else if (this.#pings % perSample === 0) {
        const stream = await link.stream(PING_DEADLINE_MS);
        if (!this.#current(round)) return;
        if (moved(this.#facts, stream)) await this.#look(link, round, askedAt);
        else if (this.#facts !== null) this.#learn({ ...this.#facts, ...stream }, askedAt);
        if (this.#facts !== null) this.#events.sampled(this.#facts);
      } else {
        const answer = await link.ping(PING_DEADLINE_MS);
        if (!this.#current(round)) return;
        if (answer === 'pong' && before !== 'answering')
          this.#learn(await link.facts(FACTS_DEADLINE_MS), askedAt);
        else if (answer !== 'pong') this.#set(answer === 'busy' ? 'script' : 'loading');
      }
    } catch {
      if (!this.#current(round) || this.#main !== link) return;
      this.#set('mute', askedAt);
      this.inspect();
    }
    if (!this.#current(round)) return;
    if (before !== this.#condition || this.#condition === 'mute') this.#events.changed();
    if (this.#main === link && !link.closed) this.#beat(round);
  }
}

/** Something in the stream changed that is not just its position. */
function moved(facts: EngineFacts | null, stream: StreamFacts): boolean {
  return (
    facts === null ||
    facts.role !== stream.role ||
    facts.link !== stream.link ||
    facts.syncing !== stream.syncing ||
    facts.replicationId !== stream.replicationId ||
    facts.primaryPort !== stream.primaryPort
  );
}

/** What the plan reads of the facts; offsets and memory move all the time and decide nothing here. */
function differs(a: EngineFacts | null, b: EngineFacts): boolean {
  if (a === null) return true;
  return (
    moved(a, b) ||
    a.loading !== b.loading ||
    a.cluster?.state !== b.cluster?.state ||
    a.cluster?.epoch !== b.cluster?.epoch ||
    a.cluster?.nodes.length !== b.cluster?.nodes.length
  );
}
