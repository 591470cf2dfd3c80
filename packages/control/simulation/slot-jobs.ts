/**
 * CLUSTER MIGRATESLOTS as the simulated engines do it: accepted at once, done or failed later. The
 * source waits for its one child process, sends a snapshot, stops its writers, and gives the slots
 * away in one moment; the target owns them from then on, and the source learns of it a little later,
 * still paused. A death, a role change or a flush at either end before that moment undoes all.
 */
import type { SlotMoveFacts, SlotRange } from '../../engine/contract.ts';
import { countSlots, covers, intersect, subtract, union } from '../plan/slot-ranges.ts';
import type { SimEngine } from './engine.ts';
import { holdsSlot, slotOf } from './handovers.ts';
import type { World } from './world.ts';

const CRON_MS = 100;
const SNAPSHOT_MS = 600;
const PAUSE_MS = 40;
const HEARD_MS = 20;
/** A source whose target never says that it owns the slots goes on by itself (`moveCommands`). */
const PAUSE_LIMIT_MS = 120_000;
/** The claim was missed on the bus, and comes with a later message: at most so late. */
const MISSED_MS = 240_000;
const FAILS = 0.05;

interface Job {
  readonly facts: { -readonly [K in keyof SlotMoveFacts]: SlotMoveFacts[K] };
  readonly source: SimEngine;
  readonly target: SimEngine;
}

const OVER = new Set(['success', 'failed', 'cancelled']);

export class SlotJobs {
  readonly #world: World;
  #jobs: Job[] = [];
  handedOver = 0;

  constructor(world: World) {
    this.#world = world;
  }

  begin(source: SimEngine, ranges: readonly SlotRange[], targetId: string): void {
    const target = this.#world.running().find((e) => e.id === targetId && source.knows.has(e.id));
    if (target === undefined) throw new Error('Unknown node name');
    if (source.role !== 'primary') throw new Error('only on primary nodes');
    if (!covers(source.slots, ranges)) throw new Error('Slots are not served by this node');
    const overlapping = this.#of(source).some((j) => intersect(j.facts.ranges, ranges).length > 0);
    if (overlapping) throw new Error('I am already migrating slot');
    const { clock, random } = this.#world;
    const job: Job = {
      source,
      target,
      facts: {
        name: random.hex(20),
        operation: 'export',
        ranges,
        source: source.id,
        target: targetId,
        createdAt: Math.floor(clock.now() / 1_000) * 1_000,
        state: 'waiting-to-snapshot',
        message: '',
      },
    };
    this.#jobs.unshift(job);
    clock.later(random.between(0, CRON_MS), () => this.#snapshot(job));
  }

  facts(engine: SimEngine): SlotMoveFacts[] {
    return this.#jobs.flatMap(({ facts, source, target }): SlotMoveFacts[] => {
      if (source === engine) return [{ ...facts }];
      return target === engine ? [{ ...facts, operation: 'import' }] : [];
    });
  }

  cancel(engine: SimEngine): void {
    for (const job of this.#of(engine)) this.#end(job, 'cancelled', '');
  }

  /** FLUSHALL at either end. */
  flushed(engine: SimEngine): void {
    for (const job of this.#jobs) {
      const open = !OVER.has(job.facts.state) && job.facts.state !== 'failover-granted';
      if (open && (job.source === engine || job.target === engine)) {
        this.#end(job, 'failed', 'Data was flushed');
      }
    }
  }

  #of(source: SimEngine): Job[] {
    return this.#jobs.filter((job) => job.source === source && !OVER.has(job.facts.state));
  }

  #end(job: Job, state: string, message: string): void {
    job.facts.state = state;
    job.facts.message = message;
  }

  /** Whether both ends can still do it; says why not in the job. */
  #stands(job: Job): boolean {
    if (OVER.has(job.facts.state)) return false;
    const { source, target, facts } = job;
    const owner = source.alive && source.role === 'primary' && covers(source.slots, facts.ranges);
    if (owner && target.alive && target.role === 'primary') return true;
    this.#end(job, 'failed', 'Connection lost');
    return false;
  }

  #snapshot(job: Job): void {
    const { clock, random } = this.#world;
    if (!this.#stands(job)) return;
    const now = clock.ticks();
    const busy = this.#world.replicasOf(job.source).some((replica) => replica.syncing(now));
    if (busy || !job.source.answers(now)) {
      clock.later(CRON_MS, () => this.#snapshot(job));
      return;
    }
    job.facts.state = 'snapshotting';
    clock.later(random.between(CRON_MS, SNAPSHOT_MS), () => this.#pause(job));
  }

  #pause(job: Job): void {
    const { clock, random } = this.#world;
    if (!this.#stands(job)) return;
    if (random.chance(FAILS)) return this.#end(job, 'failed', 'Connection lost to target');
    if (!job.source.answers(clock.ticks())) {
      clock.later(CRON_MS, () => this.#pause(job));
      return;
    }
    job.facts.state = 'failover-paused';
    job.source.slotPauseUntil = clock.ticks() + PAUSE_LIMIT_MS;
    clock.later(random.between(1, PAUSE_MS), () => this.#handOver(job));
  }

  #handOver(job: Job): void {
    const { source, target, facts } = job;
    const { clock, random } = this.#world;
    const now = clock.ticks();
    if (!this.#stands(job) || !target.answers(now) || now >= source.slotPauseUntil) {
      if (!OVER.has(facts.state)) this.#end(job, 'failed', 'Timed out');
      source.slotPauseUntil = 0;
      return;
    }
    this.#world.onHandOver(source, target);
    this.handedOver += countSlots(facts.ranges);
    const values = [...this.#world.dataOf(source)].filter((value) =>
      holdsSlot(facts.ranges, slotOf(value)),
    );
    const { came, went } = this.#world.handovers.marks({ ranges: facts.ranges, values });
    target.slots = union(target.slots, facts.ranges);
    target.epoch = this.#world.newestEpoch(target.group) + 1;
    this.#world.append(target, came);
    this.#world.noteHandOver(target, facts.ranges);
    facts.state = 'failover-granted';
    // What is on its way to the others arrives also when the target dies now.
    const news = { id: target.id, slots: target.slots, epoch: target.epoch };
    for (const other of this.#world.running()) {
      if (other.group !== target.group || other === source) continue;
      const soon = random.between(0, HEARD_MS);
      // Its own replicas are connected to it.
      const stranger = other.role === 'replica' && other.followsId !== target.id;
      const late = stranger ? this.#world.deafness(other, target) : 0;
      clock.later(Math.max(soon, late), () => other.hear(news));
    }
    source.deafen(target.id, now + missedFor(facts.name));
    clock.later(random.between(0, HEARD_MS), () => this.#heard(job, went, news));
  }

  /** The source learns that it gave the slots away, and deletes what was in them. */
  #heard(
    job: Job,
    went: number,
    news: { id: string; slots: readonly SlotRange[]; epoch: number },
  ): void {
    const { source, facts } = job;
    const { clock } = this.#world;
    if (!source.alive) return;
    if (source.isDeafTo(news.id, clock.ticks())) {
      if (clock.ticks() < source.slotPauseUntil) {
        clock.later(CRON_MS, () => this.#heard(job, went, news));
        return;
      }
      // It takes writes again, and loses them when it hears.
      return this.#end(job, 'failed', 'Unpaused before migration completed');
    }
    source.hear(news);
    source.slotPauseUntil = 0;
    if (source.role === 'primary' && covers(source.slots, facts.ranges)) {
      source.slots = subtract(source.slots, facts.ranges);
      this.#world.append(source, went);
    }
    this.#end(job, 'success', '');
  }
}

/** One claim in four is missed. By the job's name, which is random: kept seeds mean the same lives. */
function missedFor(name: string): number {
  return /^[0-3]/.test(name) ? (Number.parseInt(name.slice(1, 5), 16) / 0xffff) * MISSED_MS : 0;
}
