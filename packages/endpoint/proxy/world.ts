/** What all parts of one database's proxy in one worker share: pools, clock, the end of each tick. */
import type { DataPathHost } from '../data-path.ts';
import { BlockPool } from './journal.ts';
import type { Lane } from './lane.ts';
import { LargeKeys } from './large-keys.ts';
import { TURN_ALL_MS } from './limits.ts';
import { Merges } from './merges.ts';
import { Meter } from './meter.ts';
import { PendingPool } from './pending.ts';
import { RefusedScripts } from './refused-scripts.ts';
import type { Retries } from './retries.ts';
import { Scripts } from './scripts.ts';
import type { Session } from './session.ts';
import type { Topology } from './topology.ts';
import type { TrackingState } from './tracking.ts';
import { Turns } from './turns.ts';

export class World {
  readonly host: DataPathHost;
  readonly database: string;
  /** What the same path is called in other workers: its database, or the one shard that it serves. */
  readonly name: string;
  readonly pendings = new PendingPool();
  readonly turns = new Turns();
  readonly merges = new Merges(this);
  readonly blocks = new BlockPool();
  readonly meter = new Meter();
  readonly large: LargeKeys;
  readonly scripts = new Scripts();
  readonly refusedScripts = new RefusedScripts();
  /** Sessions that are told what they have read and is no longer so. */
  readonly tracking = new Set<TrackingState>();
  /** Slots have changed hands. */
  slotsMoved: () => void = () => undefined;
  /** An engine, or another worker, has said who owns what. */
  learned: () => void = () => undefined;
  /** Set once by the proxy, which makes these with a reference to the world. */
  topology: Topology;
  retries: Retries;
  /** performance.now() of the present turn of the event loop. */
  now = performance.now();
  /** Bytes of commands that have come in part, all sessions. */
  partialBytes = 0;
  /** Set when somebody goes on using the buffer that a lane was read into; the lane takes another. */
  retained = false;

  #lanes: Lane[] = [];
  #touched: Session[] = [];
  #woken: Session[] = [];
  #scheduled = false;

  constructor(
    host: DataPathHost,
    database: string,
    name: string,
    make: (world: World) => { topology: Topology; retries: Retries },
  ) {
    this.host = host;
    this.database = database;
    this.name = name;
    this.large = new LargeKeys(this);
    const { topology, retries } = make(this);
    this.topology = topology;
    this.retries = retries;
  }

  /** Something has happened: take the time. */
  tick(): void {
    this.now = performance.now();
  }

  /** A client has sent something. The time is taken once for all that came in one turn. */
  arrived(): void {
    if (!this.#scheduled) this.tick();
  }

  /** One write a lane and tick: everything that became readable in this turn goes out together. */
  laneToFlush(lane: Lane): void {
    this.#lanes.push(lane);
    this.schedule();
  }

  sessionToFlush(session: Session): void {
    this.#touched.push(session);
  }

  /** A stalled session may go on; it does so at the end of the tick, not within another one's turn. */
  wake(session: Session): void {
    this.#woken.push(session);
    this.schedule();
  }

  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#endOfTick());
  }

  /**
   * What a lane brought is dealt out, and the buffer it lies in is about to be used again. Clients who
   * are owed nothing more are written to at once. The others get what other lanes bring in this turn
   * in the same write: a pipeline's replies come over several.
   */
  answered(): void {
    const touched = this.#touched;
    if (touched.length === 0) return;
    this.#touched = [];
    const single = this.topology.shards.length === 1;
    for (const session of touched) {
      if (single || session.order.head === null) session.flush();
      else {
        session.output.keep();
        this.#touched.push(session);
      }
    }
    if (this.#touched.length > 0) this.schedule();
  }

  /** A limit of this database that was reached: an event, with its name and what happened. */
  reached(limit: string, detail: string, instance?: string): void {
    const { host, database } = this;
    const about = instance === undefined ? {} : { instance };
    host.emit({ type: 'event', at: host.now(), kind: 'limit', database, limit, ...about, detail });
  }

  #endOfTick(): void {
    this.#scheduled = false;
    this.tick();
    this.turns.next();
    const woken = this.#woken;
    if (woken.length > 0) {
      this.#woken = [];
      let done = 0;
      for (const session of woken) {
        session.resume();
        done++;
        if (performance.now() - this.now > TURN_ALL_MS) break;
      }
      // The others come first in the next turn.
      if (done < woken.length) {
        this.#woken = [...woken.slice(done), ...this.#woken];
        this.schedule();
      }
    }
    const lanes = this.#lanes;
    this.#lanes = [];
    for (const lane of lanes) lane.flush();
    this.#writeSessions();
  }

  #writeSessions(): void {
    const touched = this.#touched;
    if (touched.length === 0) return;
    this.#touched = [];
    for (const session of touched) session.flush();
  }
}
