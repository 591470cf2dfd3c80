/**
 * Watching one engine: two open connections, questions (`due.ts`), and what follows from silence.
 *
 * A closed connection is not a death: an application may close it (CLIENT KILL), a limit may. So
 * the close of the first connection asks the process table and then the second connection; an
 * answer there is a false alarm, said and forgotten (engine rule 2). Silence is only reported here,
 * with what tells hung from busy: the process state, and whether it works. The verdict is the plan's.
 */
import type { EngineFacts, EngineLink, EngineLogin, ProcessFacts } from '../../engine/contract.ts';
import { EngineError } from '../../engine/index.ts';
import type { Condition, Sighting } from '../plan/model.ts';
import type { InstanceRecord } from '../store/records.ts';
import { differs, moved, within } from './changed-facts.ts';
import type { ExecutorDeps } from './deps.ts';
import { drain } from './drain.ts';
import { dueAt } from './due.ts';
import { firstAnswer } from './first-answer.ts';
import type { Beating, Heart } from './heart.ts';
import {
  ASK_AGAIN_MS,
  DYING_MS,
  DYING_POLL_MS,
  FACTS_DEADLINE_MS,
  LINK_DEADLINE_MS,
  LINK_QUICK_TRIES,
  LINK_RETRY_MS,
  LINK_RETRY_SLOW_MS,
  PING_DEADLINE_MS,
  SECOND_OPINION_MS,
  STALE_LOOK_MS,
} from './limits.ts';
import { StartBackoff } from './start-backoff.ts';
import type { WatchEvents } from './watch-events.ts';

/** The engine itself ended the conversation; nobody does that who is dead or hangs. */
const TURNED_AWAY: ReadonlySet<string> = new Set(['engine-refused', 'engine-closed']);

export class Watch {
  readonly #deps: ExecutorDeps;
  readonly #events: WatchEvents;
  readonly #heart: Heart;
  readonly #login: EngineLogin;
  /** Settings that must hold before anything is read (engine rule 28). */
  readonly #first: Readonly<Record<string, string>>;
  readonly starts: StartBackoff;
  #instance: InstanceRecord;
  #main: EngineLink | null = null;
  #spare: EngineLink | null = null;
  #condition: Condition = 'unknown';
  #since: number;
  #scriptSince: number | null = null; // one that may fall silent now and then
  #process: ProcessFacts | null = null;
  #stillSince = 0;
  #lookedAt = 0;
  #facts: EngineFacts | null = null;
  #factsAt = 0;
  /** Its stream stood still between the last two samples. */
  #quiet = false;
  #configured = -1;
  #endedAt = 0;
  /** A question that is not answered yet. */
  #asked: { readonly at: number } | null = null;
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
    heart: Heart,
  ) {
    this.#deps = deps;
    this.starts = new StartBackoff(deps.clock);
    this.#heart = heart;
    heart.add(this.#beat);
    this.#instance = instance;
    this.#login = login;
    this.#first = first;
    this.#events = events;
    this.#since = deps.clock.ticks();
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
      startNotBefore: this.starts.notBefore,
      endedAt: this.#endedAt,
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
  inspect(): string | undefined {
    const process = this.#instance.process;
    const before = this.#process;
    this.#process = process === null ? null : this.#deps.node.inspect(process);
    const now = this.#deps.clock.ticks();
    // Compared with a look of long ago, work says nothing of the moment.
    const compares = now - this.#lookedAt < STALE_LOOK_MS;
    const worked = compares && before?.cpuTicks !== this.#process?.cpuTicks;
    if (worked || this.#process?.runnable === true) this.#stillSince = now;
    this.#lookedAt = now;
    return this.#process?.state;
  }

  /** Asks for fresh facts now, or for the end of its stream; failures show as the condition. */
  async refresh(draining = false): Promise<void> {
    const round = this.#round;
    this.inspect();
    const link = this.#main;
    if (link === null || link.closed) return;
    const askedAt = this.#deps.clock.ticks();
    try {
      if (draining && this.#facts !== null) {
        const heard = (stream: Partial<EngineFacts>, at: number) =>
          round === this.#round && this.learn(stream, at);
        return await drain(link, this.#deps.clock, heard);
      }
      const facts = await link.facts(FACTS_DEADLINE_MS);
      if (round === this.#round) this.#learn(facts, askedAt);
    } catch {
      // The ping beside this one decides what the silence means.
    }
  }

  /** What somebody else heard from it. */
  learn(stream: Partial<EngineFacts>, askedAt = this.#deps.clock.ticks()): boolean {
    if (this.#facts === null) return false;
    this.#learn({ ...this.#facts, ...stream }, askedAt);
    return true;
  }

  configuredAt(generation: number): void {
    this.#configured = generation;
  }

  /** Its process is known to be gone, and that is recorded. */
  ended(): void {
    this.#endedAt = this.#deps.clock.ticks();
  }

  stop(): void {
    this.#stopped = true;
    this.#heart.remove(this.#beat);
    this.#forget();
  }

  #forget(): void {
    this.#round++;
    this.#timer?.cancel();
    this.#main?.close();
    this.#spare?.close();
    this.#main = null;
    this.#spare = null;
    this.#asked = null;
    this.#facts = null;
    this.#configured = -1;
    this.#process = null;
    this.#set('unknown');
  }

  #set(condition: Condition, since = this.#deps.clock.ticks()): void {
    const before = this.#condition;
    if (condition === before) return;
    this.#condition = condition;
    this.#since = condition === 'script' ? (this.#scriptSince ?? since) : since;
    if (condition !== 'mute') this.#scriptSince = condition === 'script' ? this.#since : null;
    if (condition === 'mute') this.#events.alarm();
    else if (before === 'mute' && ['answering', 'script'].includes(condition)) this.#events.calm();
  }

  #isGone(): boolean {
    return this.inspect() === 'gone';
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
    const began = this.#deps.clock.ticks();
    try {
      const { socket } = this.#instance;
      const answer = await firstAnswer(this.#deps, socket, this.#login, this.#first);
      const { link, facts, askedAt } = answer;
      if (!this.#current(round)) return link.close();
      this.#main = link;
      this.#asked = null;
      this.#configured = -1;
      this.#learn(facts, askedAt);
      link.onClose((reason) => void this.#lost(round, link, reason));
      void this.#openSpare(round);
      this.#events.changed();
    } catch (error) {
      if (!this.#current(round)) return;
      // No socket yet, or an engine that does not answer: the same question again. One that turns us
      // away (all its connections are taken) lives, and serves those that it has.
      const code = error instanceof EngineError ? error.code : '';
      const busy = code === 'engine-busy';
      // A stopped one takes connections (the kernel does) and says nothing: nobody tries that 300 times.
      const silent = this.#deps.clock.ticks() - began >= LINK_DEADLINE_MS;
      if (busy) this.#set('script');
      else if (TURNED_AWAY.has(code)) this.#set('unknown');
      else if (silent || attempt >= LINK_QUICK_TRIES) this.#set('mute');
      const delay = attempt < LINK_QUICK_TRIES && !busy ? LINK_RETRY_MS : LINK_RETRY_SLOW_MS;
      this.#timer = this.#deps.clock.later(delay, () => void this.#connect(round, attempt + 1));
      if (busy || this.#condition === 'mute') this.#events.changed();
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
      this.#asked = null;
      spare.onClose((why) => void this.#lost(round, spare, why));
      this.#events.falseAlarm(reason);
      void this.#openSpare(round);
    } catch {
      if (!this.#current(round)) return;
      spare?.close();
      const dead = await this.#diesNow(round);
      if (!this.#current(round)) return;
      if (!dead) this.#set('mute');
      this.#events.changed();
      void this.#connect(round, 0);
    }
  }

  /** A process closes its sockets a moment before it is gone; with much memory, a longer one. */
  async #diesNow(round: number): Promise<boolean> {
    const deadline = this.#deps.clock.ticks() + DYING_MS;
    while (this.#current(round) && this.#deps.clock.ticks() < deadline) {
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

  readonly #beat: Beating = (beat) => {
    const link = this.#main;
    if (link === null || link.closed || this.#stopped) return;
    if (this.#asked !== null) return this.#stillAsked(link, this.#asked.at);
    const quiet = this.#quiet && this.#condition === 'answering';
    const due = dueAt(beat, this.#facts?.role ?? 'primary', quiet);
    if (due === 'ping') this.#ask(link);
    else if (due !== 'nothing') void this.#sample(link, due === 'look');
  };

  /** Somebody misses its answer: it is asked now, not at its next beat. */
  suspect(): void {
    if (this.#isGone()) return this.#events.changed();
    const link = this.#main;
    if (link !== null && !link.closed && this.#asked === null) this.#ask(link);
  }

  /** Everything, for somebody who looks now. */
  async look(): Promise<void> {
    if (this.#main?.closed === false && this.#asked === null) await this.#sample(this.#main, true);
  }

  /** The last question is not answered. Another one is put behind it only now and then. */
  #stillAsked(link: EngineLink, at: number): void {
    const age = this.#deps.clock.ticks() - at;
    if (age < PING_DEADLINE_MS) return;
    this.#set('mute', at);
    this.inspect();
    this.#events.changed();
    if (age >= ASK_AGAIN_MS) this.#ask(link);
  }

  #ask(link: EngineLink): void {
    const asked = { at: this.#deps.clock.ticks() };
    const round = this.#round;
    this.#asked = asked;
    link.beat((answer) => {
      if (this.#asked !== asked) return;
      this.#asked = null;
      if (answer === 'pong' && this.#condition === 'answering') return;
      void this.#answered(link, round, answer, asked.at);
    });
  }

  /** Something else than "as before". */
  async #answered(
    link: EngineLink,
    round: number,
    answer: 'pong' | 'busy' | 'loading',
    askedAt: number,
  ): Promise<void> {
    const before = this.#condition;
    if (answer !== 'pong') this.#set(answer === 'busy' ? 'script' : 'loading');
    else {
      const facts = await link.facts(FACTS_DEADLINE_MS).catch(() => null);
      if (facts === null || !this.#current(round)) return; // the next beat asks again
      this.#learn(facts, askedAt);
    }
    if (before !== this.#condition) this.#events.changed();
  }

  /** The stream, once a second; everything, more seldom or when the stream is another one. */
  async #sample(link: EngineLink, everything: boolean): Promise<void> {
    // It says BUSY to everything, which would look like silence; only PING is told so.
    if (this.#condition === 'script') return this.#ask(link);
    const round = this.#round;
    const before = this.#condition;
    const asked = { at: this.#deps.clock.ticks() };
    this.#asked = asked;
    try {
      if (everything) await this.#look(link, round, asked.at);
      else {
        const stream = await link.stream(PING_DEADLINE_MS);
        if (!this.#current(round)) return;
        this.#quiet = this.#facts?.offset === stream.offset;
        if (moved(this.#facts, stream)) await this.#look(link, round, asked.at);
        else if (this.#facts !== null) this.#learn(within(this.#facts, stream), asked.at);
        if (this.#facts !== null) this.#events.sampled(this.#facts);
      }
    } catch {
      if (!this.#current(round) || this.#main !== link) return;
      this.#set('mute', asked.at);
      this.inspect();
    } finally {
      if (this.#asked === asked) this.#asked = null;
    }
    if (!this.#current(round)) return;
    if (before !== this.#condition || this.#condition === 'mute') this.#events.changed();
  }
}
