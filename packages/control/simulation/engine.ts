/**
 * One simulated engine process, as much of Valkey as the rules are about: who it thinks is primary,
 * with which epoch; which writes it holds; what of the stream is still in its socket. Whatever the
 * real one does wrongly in the bad moments this one does too: a primary that restarts empty is
 * obeyed, TAKEOVER checks nothing, a demoted node throws its own data away.
 */
import type {
  EngineFacts,
  EngineLaunch,
  ProcessRef,
  ProcessState,
  SlotRange,
} from '../../engine/contract.ts';
import { subtract, union } from '../plan/slot-ranges.ts';

/** A primary that boots refuses commands this long (a constant of the engine). */
const BOOT_MS = 2_000;

export class SimEngine {
  readonly id: string;
  readonly dataDir: string;
  readonly socket: string;
  readonly port: number;
  /** All that it listens on; 0: not that one. */
  readonly ports: readonly number[];
  readonly process: ProcessRef;
  readonly clustered: boolean;
  readonly startedAt: number;
  /** Which database and shard it was started for; the simulator's own knowledge, for checks. */
  readonly group: string;
  state: ProcessState = 'running';
  /** Silent until then, although it runs: a slow command. */
  busyUntil = 0;
  role: 'primary' | 'replica';
  /** Cluster: id; standalone: port. Null: nobody. */
  followsId: string | null = null;
  followsPort = 0;
  epoch: number;
  slots: readonly SlotRange[];
  replicationId: string;
  secondId = '';
  secondOffset = 0;
  log: number[] = [];
  /** Sent by the primary, not read yet. */
  inbox: number[] = [];
  linkUp = false;
  /** The process that the link leads to: another one under the same id is another connection. */
  linkPid = 0;
  syncingUntil = 0;
  /** Keys of the snapshot that it began with. */
  loadedKeys = 0;
  knows = new Set<string>();
  /** Has no connection to that one yet, and hears nothing of it before. */
  readonly #deafUntil = new Map<string, number>();
  /** Who it knows to be of its own shard: its primary, and whom it has heard to follow the same. */
  readonly sameShard = new Set<string>();
  #followsSince = 0;
  /** What it last heard of each other primary of its cluster. */
  readonly told = new Map<string, { slots: readonly SlotRange[]; epoch: number }>();
  /** Writers wait while slots are handed over. */
  slotPauseUntil = 0;
  /** Version of the functions that it holds; 0: none; -1: lost with its data, and nobody can give them back. */
  functions = 0;
  clientsAllowed: boolean;
  pausedUntil = 0;
  mayVote = false;
  saved: number[] | null = null;
  /** It gives way to all others. */
  light = false;

  constructor(
    launch: EngineLaunch,
    process: ProcessRef,
    group: string,
    now: number,
    replicationId: string,
    loaded: readonly number[],
  ) {
    this.id = launch.instance;
    this.dataDir = launch.dataDir;
    this.socket = launch.socket;
    this.port = launch.port;
    this.ports = [launch.port, launch.busPort, launch.plainPort ?? 0];
    this.process = process;
    this.group = group;
    this.startedAt = now;
    this.replicationId = replicationId;
    this.log = [...loaded];
    this.clustered = launch.role.kind === 'cluster';
    this.clientsAllowed = launch.users.some((user) => user.name === 'default' && user.enabled);
    if (launch.role.kind === 'cluster') {
      const { members, myself } = launch.role;
      const self = members.find((member) => member.id === myself);
      this.role = self?.primaryId === null ? 'primary' : 'replica';
      this.followsId = self?.primaryId ?? null;
      const primary = members.find((member) => member.id === (self?.primaryId ?? myself));
      this.epoch = primary?.epoch ?? 0;
      this.slots = self?.slots ?? [];
      if (this.role === 'primary' && this.slots.length > 0) this.functions = -1;
      for (const member of members) {
        if (member.id === myself) continue;
        this.knows.add(member.id);
        if (member.primaryId === null) this.hear(member);
      }
    } else {
      this.role = launch.role.kind === 'alone' ? 'primary' : 'replica';
      this.followsPort = launch.role.kind === 'alone' ? 0 : 1;
      this.epoch = 0;
      this.slots = [];
    }
  }

  readonly #endListeners: (() => void)[] = [];

  /** Called once when the process ends; at once when it has ended. */
  onEnd(listener: () => void): void {
    if (this.alive) this.#endListeners.push(listener);
    else listener();
  }

  end(): void {
    this.state = 'gone';
    for (const listener of this.#endListeners.splice(0)) listener();
  }

  get alive(): boolean {
    return this.state !== 'gone';
  }

  answers(now: number): boolean {
    return this.state === 'running' && now >= this.busyUntil;
  }

  syncing(now: number): boolean {
    return this.syncingUntil > now;
  }

  isDeafTo(id: string, now: number): boolean {
    return now < (this.#deafUntil.get(id) ?? 0);
  }

  deafen(id: string, until: number): void {
    this.#deafUntil.set(id, until);
  }

  /** Whether by now it has heard of the other one as a replica of its shard. Of one in four that takes time. */
  wouldHear(other: SimEngine, now: number): boolean {
    const shard = this.role === 'primary' ? this.id : this.followsId;
    if (other.role !== 'replica' || other.followsId !== shard || shard === null) return false;
    const slow = /^[0-3]/.test(other.id) ? 2 * BOOT_MS : 0;
    return now >= other.#followsSince + slow && !this.isDeafTo(other.id, now);
  }

  /**
   * Older news than it has changes nothing. A slot changes hands by the newer claim of another, never
   * because its owner claims it no longer: whoever has not heard of the new owner believes in the old one.
   */
  hear(news: { id: string; slots: readonly SlotRange[]; epoch: number }): void {
    if (news.id === this.id) return;
    const before = this.told.get(news.id);
    if (before !== undefined && before.epoch > news.epoch) return;
    let claimed = news.slots;
    for (const [id, other] of this.told) {
      if (id === news.id) continue;
      if (other.epoch > news.epoch || (other.epoch === news.epoch && id > news.id))
        claimed = subtract(claimed, other.slots);
      else this.told.set(id, { ...other, slots: subtract(other.slots, claimed) });
    }
    const slots = union(before?.slots ?? [], claimed);
    this.told.set(news.id, { slots, epoch: news.epoch });
  }

  /** CLUSTER DELSLOTSRANGE: in its own view they are nobody's. */
  disown(ranges: readonly SlotRange[]): void {
    for (const [id, other] of this.told) {
      this.told.set(id, { ...other, slots: subtract(other.slots, ranges) });
    }
  }

  /** Who owns what, as this one sees it: of two that claim a slot the newer one counts. */
  nodes(): { id: string; slots: readonly SlotRange[] }[] {
    const claims = [...this.told].map(([id, claim]) => ({ id, ...claim }));
    claims.sort((a, b) => b.epoch - a.epoch || (a.id < b.id ? 1 : -1));
    // What it has itself it has until it yields.
    if (this.role === 'primary')
      claims.unshift({ id: this.id, slots: this.slots, epoch: this.epoch });
    let taken: readonly SlotRange[] = [];
    const owned = new Map<string, readonly SlotRange[]>();
    for (const claim of claims) {
      owned.set(claim.id, subtract(claim.slots, taken));
      taken = union(taken, claim.slots);
    }
    return [...this.knows, this.id].map((id) => ({ id, slots: owned.get(id) ?? [] }));
  }

  /** Accepts a write of a client now. */
  accepts(now: number): boolean {
    return (
      this.answers(now) &&
      this.role === 'primary' &&
      this.clientsAllowed &&
      now >= this.pausedUntil &&
      now >= this.slotPauseUntil &&
      this.serves(now)
    );
  }

  /** Past the two seconds after the boot; a promoted replica is past them at once. */
  serves(now: number): boolean {
    return !this.clustered || this.bootedAsReplica || now - this.startedAt >= BOOT_MS;
  }

  bootedAsReplica = false;

  becomePrimary(newId: string): void {
    if (this.role === 'primary') return;
    this.role = 'primary';
    this.bootedAsReplica = true;
    this.followsId = null;
    this.followsPort = 0;
    this.linkUp = false;
    this.inbox = [];
    this.syncingUntil = 0;
    this.secondId = this.replicationId;
    this.secondOffset = this.log.length;
    this.replicationId = newId;
  }

  follow(primaryId: string | null, port: number, now = 0): void {
    if (this.role === 'replica' && this.followsId === primaryId && this.followsPort === port)
      return;
    this.role = 'replica';
    this.followsId = primaryId;
    if (primaryId !== null) this.sameShard.add(primaryId);
    this.#followsSince = now;
    this.followsPort = port;
    this.slots = [];
    this.linkUp = false;
    this.inbox = [];
  }

  /** Of another node, as this one knows it. */
  #primaryOf(id: string): string | null {
    return this.role === 'primary' && this.sameShard.has(id) ? this.id : null;
  }

  facts(now: number, portOf: (id: string) => number, keys: number): EngineFacts {
    const primaryPort = this.clustered
      ? this.followsId === null
        ? 0
        : portOf(this.followsId)
      : this.followsPort;
    return {
      role: this.role,
      replicationId: this.replicationId,
      offset: this.log.length,
      link: this.role === 'primary' || this.linkUp ? 'up' : 'down',
      syncing: this.syncing(now),
      loading: false,
      primaryHost: this.role === 'primary' ? '' : '127.0.0.1',
      primaryPort: this.role === 'primary' ? 0 : primaryPort,
      followers: [],
      cluster: this.clustered
        ? {
            myId: this.id,
            state: this.serves(now) || this.role === 'replica' ? 'ok' : 'fail',
            epoch: this.epoch,
            slots: this.slots,
            nodes: this.nodes().map(({ id, slots }) => ({
              id,
              primaryId: id === this.id ? this.followsId : this.#primaryOf(id),
              epoch: 0,
              slots,
              failed: false,
            })),
          }
        : null,
      keys,
      loadedKeys: this.loadedKeys,
      usedMemoryBytes: 1_000_000,
      idleMemoryBytes: 900_000,
      version: 'valkey 9.1.2',
    };
  }
}
