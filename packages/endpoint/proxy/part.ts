/**
 * A command of ours on behalf of a session, to one slot or shard: a share of a split command, a
 * transaction in one piece. Its replies are collected. If the engine says that it executed nothing
 * (MOVED and the like), or it never left, it is sent again within the usual bounds.
 */
import type { Command } from '../../resp/table/index.ts';
import type { Lane } from './lane.ts';
import { SHARD_WAIT_MS } from './limits.ts';
import { OF_SHARD, OVERTAKEN, type Pieces, type ReplySink } from './pending.ts';
import type { Session } from './session.ts';
import { REMOVED } from './topology.ts';
import { isNotExecuted, noteMoved, withoutTwin } from './upstream-errors.ts';

export type PartResult =
  | {
      readonly kind: 'replies';
      readonly replies: readonly Buffer[];
      /** The last one of them, if it was large and `takesPieces`; then only its beginning stands there. */
      readonly pieces?: Pieces | null;
    }
  | { readonly kind: 'lost'; readonly reason: string; readonly sent: boolean };

export class Part implements ReplySink {
  readonly session: Session;
  readonly command: Command;
  readonly bytes: Buffer;
  readonly slot: number;
  /** Its last reply, an array, need not be in one piece. */
  takesPieces = false;
  readonly #count: number;
  readonly #done: (result: PartResult) => void;
  #lane: Lane;
  #replies: Buffer[] = [];
  #attempts = 0;
  #turn = 0;
  #deadlineAt: number;

  constructor(
    session: Session,
    command: Command,
    lane: Lane,
    slot: number,
    bytes: Buffer,
    count: number,
    done: (result: PartResult) => void,
  ) {
    this.session = session;
    this.command = command;
    this.slot = slot;
    this.bytes = bytes;
    this.#count = count;
    this.#done = done;
    this.#lane = lane;
    this.#deadlineAt = session.proxy.world.now + SHARD_WAIT_MS;
    session.state.sayCaching(lane);
    lane.ask(session, command, bytes, count, this);
  }

  onPieces(pieces: Pieces): boolean {
    const [first] = pieces.parts;
    const last = this.#replies.length + 1 === this.#count;
    if (!this.takesPieces || !last || first?.[0] !== ARRAY) return false;
    this.onReply(first, pieces);
    return true;
  }

  onReply(reply: Buffer, pieces: Pieces | null = null): void {
    this.#replies.push(reply);
    if (this.#replies.length < this.#count) return;
    const moved = this.#replies.find(isNotExecuted);
    if (moved !== undefined && this.#again()) {
      noteMoved(this.#lane, moved);
      return;
    }
    this.#done({
      kind: 'replies',
      replies: this.#replies.map((r) => (r[0] === 45 ? withoutTwin(this.#lane, r) : r)),
      pieces,
    });
  }

  onResent(lane: Lane): void {
    this.#lane = lane;
  }

  /** That answers it. */
  get lane(): Lane {
    return this.#lane;
  }

  onLost(reason: string, sent: boolean): void {
    const harmless = !sent || (this.command.readonly && this.#attempts === 0);
    const over = reason === OVERTAKEN || reason === REMOVED;
    if (harmless && !over && this.#again()) return;
    this.#done({ kind: 'lost', reason, sent });
  }

  #again(): boolean {
    const { world } = this.session.proxy;
    const nowhere = this.slot < 0 && this.slot !== OF_SHARD;
    if (this.session.gone || world.now > this.#deadlineAt || nowhere) return false;
    this.#replies = [];
    this.#attempts++;
    const pending = world.pendings.take();
    pending.session = this.session;
    pending.command = this.command;
    pending.sink = this;
    pending.bytes = this.bytes;
    pending.slot = this.slot;
    pending.shard = this.#lane.shard.index;
    pending.turn = this.#turn;
    pending.count = this.#count;
    pending.attempts = this.#attempts;
    pending.deadlineAt = this.#deadlineAt;
    this.#turn = world.retries.add(pending);
    return true;
  }
}

const ARRAY = 0x2a;
