/**
 * Looking at one batch of slots under way: what its source says of it, and how long writers waited.
 *
 * The engine reports no duration, so it is measured from outside: the source is asked every few
 * milliseconds, and between the last answer that came before the hand-over and the first one after
 * it lies everything that a client could have waited for: the pause itself, and the moment after it
 * in which the source deletes what it gave away and answers nobody. It is an upper bound.
 *
 * An engine is mute for a moment at the beginning, too, when it forks for the snapshot. That takes as long
 * as it has memory, whatever the batch: to be told apart, because who made batches smaller for it would
 * only have it fork more often.
 *
 * And it is helped along: a source that has granted the take-over holds its writes until it hears from the
 * target that the slots are the target's. The target says it once, to those it has a connection to; one that
 * is dropped is made again up to half a minute later (`engine/nodes-conf.ts`), and writes wait for that, or
 * for two minutes: then the source would take them, acknowledge them, and lose them when it hears at last.
 * So the target introduces itself: an introduction carries what its sender owns.
 *
 * Before that, it has to be woken. An engine that takes slots over notes that it has to tell the others, and does
 * so the next time it goes to sleep; but it takes them over as it goes to sleep (9.1.2), and so says nothing until
 * something wakes it: a command, or its own clock up to a tenth of a second later, while writes of the source wait.
 * So it is asked something as often as the source is.
 */
import type { SlotMoveFacts } from '../../engine/contract.ts';
import { HANDOVER_POLL_MS, MOVE_POLL_MS } from '../plan/limits.ts';
import type { MoveSighting } from '../plan/model.ts';
import { sameSlots } from '../plan/slot-ranges.ts';
import type { SlotMove } from '../store/records.ts';
import type { Clock } from './clock.ts';
import { Introductions } from './introductions.ts';
import { FACTS_DEADLINE_MS, VERB_DEADLINE_MS } from './limits.ts';
import type { DatabaseLoop } from './loop.ts';
import { meet } from './steps/converge.ts';

const ENDS: Readonly<Record<string, MoveSighting['outcome']>> = {
  success: 'success',
  failed: 'failed',
  cancelled: 'cancelled',
};
/** Writers of the source wait in these states. */
const PAUSED = new Set(['failover-paused', 'failover-granted']);
/** From one moment to the next it does so in these. */
const HANDS_OVER = new Set(['replicating', 'waiting-to-pause', ...PAUSED]);
/** ...and in this one, which it may leave with all others in one turn. */
const SENDS = 'snapshotting';
/** The engine cuts the time of a move to seconds. */
const CLOCK_GRAIN_MS = 2_000;
const NOTHING: MoveSighting = {
  outcome: 'unknown',
  waitingSince: null,
  message: '',
  pauseMs: 0,
  handOverMs: 0,
  endedAt: 0,
  targetOffset: 0,
};

export class MoveWatch {
  readonly move: SlotMove;
  readonly #loop: DatabaseLoop;
  readonly #clock: Clock;
  #sighting = NOTHING;
  /** When the source last said that nobody waits. */
  #freeAt: number;
  #pauseMs = 0;
  #handOverMs = 0;
  /** Of the target to the source; null: nothing is granted. */
  #introductions: Introductions | null = null;
  /** Its snapshot is through. */
  #handsOver = false;
  #waking = false;
  #timer: { cancel(): void } | null = null;
  #stopped = false;

  constructor(loop: DatabaseLoop, move: SlotMove) {
    this.#loop = loop;
    this.#clock = loop.deps.clock;
    this.move = move;
    this.#freeAt = this.#clock.ticks();
    void this.#look();
  }

  sighting(): MoveSighting {
    return this.#sighting;
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #look(): Promise<void> {
    const askedAt = this.#clock.ticks();
    let moves: readonly SlotMoveFacts[] | null = null;
    try {
      moves = await this.#loop.watch(this.move.sourceNode).link.slotMoves(FACTS_DEADLINE_MS);
    } catch {
      // No connection, or no answer now: what that means is the plan's to say.
    }
    if (this.#stopped) return;
    if (moves !== null) await this.#learn(moves, askedAt);
    if (this.#stopped || this.#sighting.endedAt > 0) return;
    const pollMs = this.#handsOver ? HANDOVER_POLL_MS : MOVE_POLL_MS;
    this.#timer = this.#clock.later(pollMs, () => void this.#look());
  }

  /** One question at a time: a busy target is awake, and a row of them would stand on its connection for others. */
  async #wakeTarget(): Promise<void> {
    if (this.#waking) return;
    this.#waking = true;
    try {
      await this.#loop.watch(this.move.targetNode).link.ping(VERB_DEADLINE_MS);
    } catch {
      // It is gone, or busy, and then awake: what that means for the batch is the plan's to say.
    } finally {
      this.#waking = false;
    }
  }

  async #learn(moves: readonly SlotMoveFacts[], askedAt: number): Promise<void> {
    const facts = moves.find((each) => this.#isOurs(each));
    const now = this.#clock.ticks();
    const state = facts?.state ?? 'absent';
    const outcome = facts === undefined ? 'absent' : (ENDS[state] ?? 'running');
    // A busy engine answers late, paused or not: both are time that somebody waits.
    const handOver = PAUSED.has(state) || outcome === 'success';
    const waited = handOver ? now - this.#freeAt : now - askedAt;
    if (handOver) this.#handOverMs = Math.max(this.#handOverMs, waited);
    this.#pauseMs = Math.max(this.#pauseMs, waited);
    if (outcome === 'running' && !PAUSED.has(state)) this.#freeAt = askedAt;
    this.#handsOver = outcome === 'running' && HANDS_OVER.has(state);
    if (this.#handsOver || state === SENDS) void this.#wakeTarget();
    this.#helpHear(state === 'failover-granted', now);
    const waiting = state === 'waiting-to-snapshot';
    const targetOffset = outcome === 'success' ? await this.#targetOffset() : 0;
    const before = this.#sighting;
    this.#sighting = {
      outcome,
      waitingSince: waiting ? (before.waitingSince ?? now) : null,
      message: facts?.message ?? '',
      pauseMs: this.#pauseMs,
      handOverMs: this.#handOverMs,
      endedAt: outcome === 'running' ? 0 : this.#clock.ticks(),
      targetOffset,
    };
    if (before.outcome !== outcome) this.#loop.wake();
  }

  #helpHear(granted: boolean, now: number): void {
    this.#introductions = granted ? (this.#introductions ?? new Introductions(now)) : null;
    if (this.#introductions?.due(now)) void this.#introduce();
  }

  async #introduce(): Promise<void> {
    try {
      const owner = this.#loop.shard(this.move.target).primary ?? this.move.targetNode;
      await meet(this.#loop, this.move.sourceNode, owner);
    } catch {
      // An end that does not answer now is asked again, or has a successor that is.
    }
  }

  #isOurs(facts: SlotMoveFacts): boolean {
    return (
      facts.operation === 'export' &&
      facts.target === this.move.targetNode &&
      facts.createdAt >= this.move.askedAt - CLOCK_GRAIN_MS &&
      sameSlots(facts.ranges, this.move.ranges)
    );
  }

  /** 0 when it does not answer: then its copies are not waited for. */
  async #targetOffset(): Promise<number> {
    try {
      const { link } = this.#loop.watch(this.move.targetNode);
      return (await link.stream(VERB_DEADLINE_MS)).offset;
    } catch {
      return 0;
    }
  }
}
