/**
 * One or more commands of a session that are on their way: the only record the hot path makes, and
 * it is reused. It stands in two lists at once: in its lane's, because an engine answers in the order
 * of the lane; and in its session's, because a client gets its replies in its own order. Commands of
 * one session that go out together and are the same command share one record (`count`).
 */
import type { Command } from '../../resp/table/index.ts';
import type { Block } from './journal.ts';
import type { Lane } from './lane.ts';
import type { Session } from './session.ts';

/** A reply in the pieces that it came in, and the length of all of it. */
export interface Pieces {
  readonly parts: readonly Buffer[];
  readonly bytes: number;
}

/** Takes whole replies instead of a client: parts of a split command, EXEC, answers for ourselves. */
export interface ReplySink {
  /** The bytes belong to the receiver. */
  onReply(reply: Buffer): void;
  /** Instead, if it is large and came in pieces: to put them together would hold up everybody. False: no. */
  onPieces?(pieces: Pieces): boolean;
  /** No answer will come. `sent`: the engine may have executed it. */
  onLost(reason: string, sent: boolean): void;
  /** It goes out again, on this lane. */
  onResent?(lane: Lane): void;
}

/** Reason of a loss: a later command of the same client on the same slot was or may have been executed. */
export const OVERTAKEN = 'overtaken';

/** Instead of a slot: the command is the shard's that refused or lost it, whatever slots that owns, and nobody else's. */
export const OF_SHARD = -2;

export class Pending {
  session: Session | null = null;
  lane: Lane | null = null;
  command: Command | null = null;
  /** Shard index, for the session's count of what is in flight there. */
  shard = 0;
  /** Replies still to come; `total` at the start. */
  count = 0;
  total = 0;
  /** performance.now() when its bytes came in. */
  startedAt = 0;
  /** Where its bytes are kept until it is answered. */
  block: Block | null = null;
  from = 0;
  to = 0;
  sink: ReplySink | null = null;
  /** Stands in the session's order: its bytes go to the client. */
  ordered = false;
  /** Its reply is not wanted (CLIENT REPLY). */
  muted = false;
  /** Complete (all bytes in `parts` or passed on). */
  done = false;
  /** Replies that came before their turn. */
  parts: Buffer[] | null = null;
  /** Times it was sent again. */
  attempts = 0;
  /** Bytes of its largest reply, if that is a large one, and how many commands waited behind it. */
  large = 0;
  behind = 0;
  /** Of a command that is to be sent again: its own copy, its slot, and until when it may wait. */
  bytes: Buffer | null = null;
  slot = 0;
  deadlineAt = 0;
  /** Its place among all that are sent again; 0: it was never refused. */
  turn = 0;
  /** It must not be executed any more: a later one of the same client and slot was. */
  overtaken = false;
  /** What the engine said, where that is the better answer if it cannot be sent again in time. */
  refusal: Buffer | null = null;
  nextInLane: Pending | null = null;
  nextInSession: Pending | null = null;
}

/** A free list: at a million commands a second, even a small object each would be garbage to collect. */
export class PendingPool {
  #free: Pending[] = [];

  take(): Pending {
    return this.#free.pop() ?? new Pending();
  }

  give(pending: Pending): void {
    pending.session = null;
    pending.lane = null;
    pending.command = null;
    pending.block = null;
    pending.sink = null;
    pending.ordered = false;
    pending.muted = false;
    pending.count = 0;
    pending.deadlineAt = 0;
    pending.turn = 0;
    pending.overtaken = false;
    pending.refusal = null;
    pending.done = false;
    pending.parts = null;
    pending.attempts = 0;
    pending.large = 0;
    pending.behind = 0;
    pending.bytes = null;
    pending.nextInLane = null;
    pending.nextInSession = null;
    if (this.#free.length < POOL) this.#free.push(pending);
  }
}

/** More than this are garbage after a burst. */
const POOL = 16_384;
