/**
 * One shard as the relay sees it: who is connected to its primary, who waits for one, and whether
 * it is held. All decisions about when a client may reach the engine are made here.
 */
import { connect } from 'node:net';
import type { InstanceView, ShardView } from '../control-protocol.ts';
import { type DataPathHost, HoldExpired } from '../data-path.ts';
import { PROBE_MS, SHARD_RETRY_MS, SHARD_WAIT_MS, UPSTREAM_CONNECTS } from '../limits.ts';
import type { Session } from './session.ts';

interface Hold {
  deadlineAt: number;
  timer: NodeJS.Timeout;
  readonly busy: Set<Session>;
  readonly quiet: PromiseWithResolvers<void>;
  isQuiet: boolean;
}

export class ShardDesk {
  readonly #host: DataPathHost;
  readonly #database: string;
  readonly #sessions = new Set<Session>();
  readonly #waiting = new Set<Session>();
  #view: ShardView;
  readonly #connecting = new Set<Session>();
  #hold: Hold | null = null;
  /** The engine did not take a connection: until it does, one try at a time. */
  #suspect = false;
  #reportedNode: string | null = null;
  #probe: Promise<boolean> | null = null;
  #stoppedSince = 0;
  #sweep: NodeJS.Timeout | null = null;

  constructor(host: DataPathHost, database: string, view: ShardView) {
    this.#host = host;
    this.#database = database;
    this.#view = view;
    this.update(view);
  }

  get open(): boolean {
    return this.#view.state === 'serving' && this.#view.primary !== null && this.#hold === null;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  update(view: ShardView): void {
    this.#view = view;
    const { primary } = view;
    this.#reportedNode = null;
    for (const session of this.#sessions) {
      if (session.state !== 'relaying' && session.state !== 'connecting') continue;
      const down = view.state === 'down';
      if (!down && primary !== null && sameInstance(session.instance, primary)) continue;
      if (session.state === 'relaying') session.leave(down ? 'shard-down' : 'primary-changed');
      else {
        session.retreat();
        this.#connecting.delete(session);
        this.#waiting.add(session);
      }
    }
    this.#flow();
  }

  add(session: Session): void {
    this.#sessions.add(session);
    this.#wait(session);
  }

  remove(session: Session): void {
    this.#sessions.delete(session);
    this.#waiting.delete(session);
    this.#connecting.delete(session);
    this.quiet(session);
    this.#flow();
  }

  connected(session: Session): void {
    this.#connecting.delete(session);
    this.#suspect = false;
    this.#flow();
  }

  connectFailed(session: Session, detail: string): void {
    this.#connecting.delete(session);
    this.#suspect = true;
    this.#lost(session.instance, detail);
    this.#wait(session);
  }

  /** One engine connection closed: the engine dropped it, or the engine is gone. */
  async engineClosed(session: Session, detail: string): Promise<void> {
    const { instance } = session;
    if (instance === null) return;
    this.#probe ??= listens(instance.socket).finally(() => {
      this.#probe = null;
    });
    const alive = await this.#probe;
    if (!alive) {
      this.#suspect = true;
      this.#lost(instance, detail);
    }
    session.end(alive ? 'engine-closed' : 'shard-lost');
  }

  hold(deadlineAt: number): Promise<void> {
    const timer = setTimeout(() => this.#holdExpired(), Math.max(0, deadlineAt - this.#host.now()));
    if (this.#hold !== null) {
      clearTimeout(this.#hold.timer);
      this.#hold.timer = timer;
      this.#hold.deadlineAt = deadlineAt;
      return this.#hold.quiet.promise;
    }
    const hold: Hold = {
      deadlineAt,
      timer,
      busy: new Set(),
      quiet: Promise.withResolvers<void>(),
      isQuiet: false,
    };
    this.#hold = hold;
    this.#flow();
    for (const session of this.#sessions) if (session.inFlight > 0) hold.busy.add(session);
    this.#checkQuiet();
    return hold.quiet.promise;
  }

  quiet(session: Session): void {
    if (this.#hold?.busy.delete(session)) this.#checkQuiet();
  }

  release(): void {
    const hold = this.#hold;
    if (hold === null) return;
    this.#hold = null;
    clearTimeout(hold.timer);
    if (!hold.isQuiet) hold.quiet.reject(new HoldExpired(this.#view.id, hold.busy.size));
    this.#flow();
  }

  /** Waits cut short; sessions are the relay's to end. */
  close(): void {
    this.release();
    if (this.#sweep !== null) clearInterval(this.#sweep);
    this.#sweep = null;
  }

  #checkQuiet(): void {
    const hold = this.#hold;
    if (hold === null || hold.isQuiet || hold.busy.size > 0) return;
    hold.isQuiet = true;
    hold.quiet.resolve();
  }

  #holdExpired(): void {
    const hold = this.#hold;
    if (hold === null) return;
    const detail = hold.isQuiet
      ? `hold of shard ${this.#view.id} was not released in time; released here`
      : `shard ${this.#view.id} was not quiet in time: ${hold.busy.size} clients had commands in flight; released here`;
    this.#host.emit({
      type: 'event',
      at: this.#host.now(),
      kind: 'limit',
      database: this.#database,
      limit: 'hold-expired',
      detail,
    });
    this.release();
  }

  #wait(session: Session): void {
    this.#waiting.add(session);
    if (this.#stoppedSince > 0) session.pause('held');
    this.#flow();
  }

  /** Lets everybody go as far as the shard's state allows. */
  #flow(): void {
    const stopped = this.#hold !== null || this.#view.state === 'held';
    if (stopped && this.#stoppedSince === 0) {
      this.#stoppedSince = this.#host.now();
      for (const session of this.#sessions) session.pause('held');
    } else if (!stopped && this.#stoppedSince > 0) {
      this.#stoppedSince = 0;
      for (const session of this.#sessions) if (!session.leaving) session.resume('held');
    }
    const most = this.#suspect ? 1 : UPSTREAM_CONNECTS;
    const { primary } = this.#view;
    if (this.open && primary !== null) {
      for (const session of this.#waiting) {
        if (this.#connecting.size >= most) break;
        // A suspect engine is asked at the sweep's pace, not as fast as it refuses.
        if (this.#suspect && this.#sweep !== null) break;
        this.#join(session, primary);
      }
    }
    this.#keepSweeping();
  }

  #join(session: Session, primary: InstanceView): void {
    this.#waiting.delete(session);
    this.#connecting.add(session);
    session.join(primary);
  }

  #keepSweeping(): void {
    const needed =
      this.#waiting.size > 0 || (this.#view.state === 'held' && this.#sessions.size > 0);
    if (needed && this.#sweep === null) {
      this.#sweep = setInterval(() => this.#sweepOnce(), SHARD_RETRY_MS);
    } else if (!needed && this.#sweep !== null) {
      clearInterval(this.#sweep);
      this.#sweep = null;
    }
  }

  #sweepOnce(): void {
    const now = this.#host.now();
    const { state, reason, id, primary } = this.#view;
    const words = `-ERR shard-unavailable: shard ${id} is ${state} (${reason}); waited ${SHARD_WAIT_MS} ms; try again later\r\n`;
    for (const session of this.#waiting) {
      if (now - session.since >= SHARD_WAIT_MS) session.end('shard-wait-expired', words);
    }
    if (state === 'held' && this.#stoppedSince > 0 && now - this.#stoppedSince >= SHARD_WAIT_MS) {
      for (const session of this.#sessions) session.end('shard-wait-expired', words);
    }
    const [first] = this.#waiting;
    if (this.open && this.#suspect && this.#connecting.size === 0 && first && primary !== null) {
      this.#join(first, primary);
    }
    this.#keepSweeping();
  }

  #lost(instance: InstanceView | null, detail: string): void {
    if (instance === null || this.#reportedNode === instance.node) return;
    this.#reportedNode = instance.node;
    this.#host.emit({
      type: 'event',
      at: this.#host.now(),
      kind: 'shard-lost',
      shard: this.#view.id,
      node: instance.node,
      detail,
    });
  }
}

function sameInstance(a: InstanceView | null, b: InstanceView): boolean {
  return a !== null && a.node === b.node && a.socket === b.socket;
}

/**
 * Whether somebody still listens behind a socket: takes a connection and keeps it for PROBE_MS. An
 * engine that was killed refuses at once; one that only closed a client's connection does not.
 */
function listens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    let timer: NodeJS.Timeout | undefined;
    socket.on('connect', () => {
      timer = setTimeout(() => {
        resolve(true);
        socket.destroy();
      }, PROBE_MS);
    });
    socket.on('error', () => resolve(false));
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(false); // after the timer this changes nothing
    });
  });
}
