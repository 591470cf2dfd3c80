/**
 * Commands that may wait in the engine (BLPOP, XREAD BLOCK, ...): on a connection of the session's
 * own, so that nobody waits behind them. While one waits, the session's next commands wait too, as
 * they would in the engine.
 *
 * A pop is a write. If its connection dies, the element may be gone and its reply lost, so it is not
 * issued again but said (engine rule 18). Only when the engine itself answers that it did nothing
 * (MOVED, UNBLOCKED by a planned change), or could not do it because the slot had left, it is issued
 * again, with the time that is left.
 */
import { encodeCommand } from '../../resp/index.ts';
import { type Fate, isWord } from '../../resp/table/index.ts';
import { type Call, fail } from './dispatch.ts';
import type { Lane } from './lane.ts';
import { lostReply } from './lane-loss.ts';
import { REDIRECTS, SLOT_MAP_RETRY_MS } from './limits.ts';
import type { Pending } from './pending.ts';
import { argumentsOf, firstSlot } from './route.ts';
import { type Session, STALLED, TAKEN } from './session.ts';
import { StreamEnds } from './stream-ends.ts';
import { isNotExecuted, noteMoved, withoutTwin } from './upstream-errors.ts';
import { UNBLOCKED, waiting } from './waiting.ts';

type BlockFate = Extract<Fate, { kind: 'block' }>;

/** Argument index of the time to wait, in seconds; -1: the last one. */
const TIMEOUT_AT: Readonly<Record<string, number>> = { blmpop: 1, bzmpop: 1 };

export function mayBlock(call: Call, fate: BlockFate): boolean {
  return fate.when === 'always' || blockOption(call) > 0;
}

/** Index of the value of BLOCK; 0 when there is none. */
function blockOption(call: Call): number {
  const { args, bytes } = call;
  for (let i = 1; i + 1 < args.count; i++) {
    const start = args.starts[i] ?? 0;
    const end = args.ends[i] ?? 0;
    if (isWord('streams', bytes, start, end)) return 0;
    if (isWord('block', bytes, start, end)) return i + 1;
  }
  return 0;
}

export function block(call: Call): number {
  const { session, command, bytes, args } = call;
  const { topology } = session.proxy.world;
  const slot = firstSlot(command, bytes, args);
  const shard = slot < 0 ? topology.first() : topology.ofSlot(slot);
  if (shard === null || session.overdue(shard)) return fail(session, shard);
  const lane = session.lanes.takeOwn(shard, true);
  if (lane === null) return STALLED;
  const option = command.fate.kind === 'block' && command.fate.when === 'block-option';
  const at = option ? blockOption(call) : (TIMEOUT_AT[command.name] ?? args.count - 1);
  new Blocked(call, lane, argumentsOf(bytes, args), at, option ? 1 : 1000, slot).issue(lane);
  return TAKEN;
}

class Blocked {
  readonly #session: Session;
  readonly #call: Call;
  readonly #place: Pending;
  readonly #args: Buffer[];
  readonly #timeoutAt: number;
  readonly #unitMs: number;
  readonly #slot: number;
  readonly #endsAt: number;
  readonly #streams: StreamEnds;
  #lane: Lane;
  #attempts = 0;

  constructor(
    call: Call,
    lane: Lane,
    args: Buffer[],
    timeoutAt: number,
    unitMs: number,
    slot: number,
  ) {
    this.#call = call;
    this.#session = call.session;
    this.#lane = lane;
    this.#args = args;
    this.#streams = new StreamEnds(args);
    this.#timeoutAt = timeoutAt;
    this.#unitMs = unitMs;
    this.#slot = slot;
    const given = Number(args[timeoutAt]?.toString('latin1', 0, 64) ?? 0) * unitMs;
    this.#endsAt = given > 0 ? call.session.proxy.world.now + given : 0;
    this.#place = call.session.order.place(call.command);
    call.session.gate(1, true);
  }

  issue(lane: Lane): void {
    this.#lane = lane;
    this.#session.lanes.wroteHidden(lane.shard);
    if (this.#attempts === 0) this.#streams.ask(lane);
    lane.ask(this.#session, this.#call.command, encodeCommand(this.#args), 1, {
      onReply: (reply) => this.#answered(reply),
      onLost: (_reason, sent) => {
        if (sent && !this.#hasLeft(lane)) this.#finish(lostReply(lane, this.#call.command), false);
        else this.#again();
      },
    });
  }

  /**
   * Its slot was another shard's before the connection ended: so the engine, which says so to those that wait
   * within a second, could not do it any more; and what it did before it has answered before.
   */
  #hasLeft({ shard }: Lane): boolean {
    const { topology } = this.#session.proxy.world;
    const owner = this.#slot < 0 ? null : topology.ofSlot(this.#slot);
    return (owner !== null && owner !== shard) || topology.moved(this.#slot) !== null;
  }

  #answered(reply: Buffer): void {
    const byClient = this.#session.unblocked && reply.equals(UNBLOCKED);
    this.#session.unblocked = false;
    const undone = isNotExecuted(reply) || reply.toString('latin1', 0, 11) === '-UNBLOCKED ';
    if (undone && !byClient && this.#attempts < REDIRECTS * 64) {
      noteMoved(this.#lane, reply);
      this.#again();
      return;
    }
    this.#finish(reply[0] === 45 ? withoutTwin(this.#lane, reply) : reply, true);
  }

  /** The rest of its time, on the shard that has the key now. */
  #again(): void {
    const session = this.#session;
    this.#attempts++;
    this.#streams.fix();
    const timer = setTimeout(() => {
      waiting.delete(session);
      if (session.gone) return;
      if (this.#endsAt > 0) {
        // Never 0, which would be for ever.
        const leftMs = Math.ceil(this.#endsAt - performance.now());
        if (leftMs <= 0) return this.#finish(timedOut(session), false);
        this.#args[this.#timeoutAt] = Buffer.from(
          this.#unitMs === 1 ? String(leftMs) : (leftMs / 1000).toFixed(3),
        );
      }
      const { topology } = session.proxy.world;
      const moved = topology.moved(this.#slot);
      if (moved !== null) {
        this.#finish(Buffer.from(moved), false);
        return;
      }
      const shard = topology.ofSlot(this.#slot < 0 ? topology.home : this.#slot);
      const lane = shard === null ? null : session.lanes.takeOwn(shard, true);
      if (lane !== null) this.issue(lane);
      else this.#again();
    }, SLOT_MAP_RETRY_MS);
    waiting.set(session, (how) => {
      clearTimeout(timer);
      waiting.delete(session);
      this.#finish(how === 'error' ? UNBLOCKED : timedOut(session), false);
    });
  }

  #finish(reply: Buffer, clean: boolean): void {
    const session = this.#session;
    if (session.gone) return;
    session.fill(this.#place, reply);
    if (session.state.watch === null) session.lanes.releaseOwn(clean);
    session.gate(-1, true);
  }
}

function timedOut(session: Session): Buffer {
  return Buffer.from(session.state.protocol === 3 ? '_\r\n' : '*-1\r\n');
}
