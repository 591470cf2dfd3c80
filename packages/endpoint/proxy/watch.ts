/**
 * WATCH: the engine keeps what a *connection* watches, so the session gets one of its own until EXEC,
 * DISCARD or UNWATCH. If that connection is lost, its shard changes its primary, or the slot changes
 * hands (also when it has come back since), EXEC answers null ("a watched key changed"): legal, and
 * what clients retry. Silently going on would commit without the check.
 */
import { type Call, fail, type Handler, refuse } from './dispatch.ts';
import type { Lane } from './lane.ts';
import { onlySlot } from './route.ts';
import { type Session, STALLED, TAKEN } from './session.ts';
import { isNotExecuted, noteMoved, withoutTwin } from './upstream-errors.ts';

export class Watch {
  readonly lane: Lane;
  readonly slot: number;
  readonly #session: Session;
  readonly #since: number;
  /** The watched connection is gone. */
  broken = false;

  constructor(session: Session, lane: Lane, slot: number) {
    this.#session = session;
    this.lane = lane;
    this.slot = slot;
    this.#since = session.proxy.world.topology.version;
    lane.onClosed = () => {
      this.broken = true;
    };
  }

  /** What happened to the watched keys cannot be known any more. */
  get lost(): boolean {
    const { changedAt } = this.#session.proxy.world.topology;
    return this.broken || (changedAt[this.slot] ?? 0) > this.#since;
  }

  /** Ends it without EXEC: the connection is clean again after an UNWATCH. */
  drop(): void {
    if (this.#session.lanes.own !== this.lane) return;
    if (this.broken || this.#session.gone) {
      this.#session.lanes.releaseOwn(false);
      return;
    }
    this.#session.lanes.own = null;
    const { lane } = this;
    lane.question(['UNWATCH'], (reply) => {
      if (reply !== null) lane.shard.returnOwn(lane);
    });
  }

  /** EXEC was answered: the engine watches nothing any more. */
  finished(): void {
    if (this.#session.lanes.own === this.lane) this.#session.lanes.releaseOwn(!this.broken);
  }
}

export const watch: Handler = (call: Call) => {
  const { session, command, bytes, args, start, end } = call;
  const { state } = session;
  const { topology } = session.proxy.world;
  const slot = onlySlot(command, bytes, args);
  const known = state.watch;
  const crosses = slot === -2 || (known !== null && !known.lost && slot !== known.slot);
  if (topology.cluster && crosses) {
    return refuse(session, "-CROSSSLOT Keys in request don't hash to the same slot\r\n");
  }
  if (known?.lost === true) {
    // What was watched before is lost; EXEC must still say so.
    session.reply('+OK\r\n');
    return TAKEN;
  }
  const shard = topology.ofSlot(slot < 0 ? topology.home : slot);
  if (shard === null || session.overdue(shard)) return fail(session, shard);
  const lane = session.lanes.takeOwn(shard, false);
  if (lane === null) return STALLED;
  if (known === null) state.watch = new Watch(session, lane, slot);
  const place = session.order.place(command);
  session.gate(1);
  lane.ask(session, command, Buffer.from(bytes.subarray(start, end)), 1, {
    onReply: (reply) => {
      session.gate(-1);
      if (isNotExecuted(reply)) {
        noteMoved(lane, reply);
        if (state.watch !== null) state.watch.broken = true;
        session.fill(place, Buffer.from('+OK\r\n'));
      } else {
        session.fill(place, reply[0] === 45 ? withoutTwin(lane, reply) : reply);
      }
    },
    onLost: () => {
      session.gate(-1);
      if (state.watch !== null) state.watch.broken = true;
      session.fill(place, Buffer.from('+OK\r\n'));
    },
  });
  return TAKEN;
};

export const unwatch: Handler = ({ session }) => {
  if (session.lanes.total > 0) {
    session.stall('order');
    return STALLED;
  }
  session.state.watch?.drop();
  session.state.watch = null;
  session.reply('+OK\r\n');
  return TAKEN;
};
