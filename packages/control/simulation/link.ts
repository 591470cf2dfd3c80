/** A connection to a simulated engine: the engine interface, as one incarnation of the control process has it. */
import type {
  EngineFacts,
  EngineLink,
  SlotMoveFacts,
  SlotRange,
  StreamFacts,
} from '../../engine/contract.ts';
import { union } from '../plan/slot-ranges.ts';
import type { SimEngine } from './engine.ts';
import type { SimNode } from './node.ts';
import type { Incarnation, Watcher } from './trouble.ts';
import type { World } from './world.ts';

const NEVER_MS = 60_000;

export class SimLink implements EngineLink {
  readonly #node: SimNode;
  readonly #world: World;
  readonly #engine: SimEngine;
  readonly #life: Incarnation;
  readonly #watcher: Watcher;
  readonly #listeners: ((reason: string) => void)[] = [];
  #closed = false;
  #tail: Promise<void> = Promise.resolve();

  constructor(node: SimNode, world: World, engine: SimEngine, life: Incarnation, watcher: Watcher) {
    this.#node = node;
    this.#world = world;
    this.#engine = engine;
    this.#life = life;
    this.#watcher = watcher;
    this.#watchProcess();
  }

  /** The kernel closes the socket when the process ends; it takes a moment until that is read. */
  #watchProcess(): void {
    this.#engine.onEnd(() =>
      this.#world.clock.later(2, () => {
        if (!this.#life.dead) this.#end('closed by the engine');
      }),
    );
  }

  #end(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const listener of this.#listeners) listener(reason);
  }

  get closed(): boolean {
    return this.#closed;
  }

  onClose(listener: (reason: string) => void): void {
    if (this.#closed) listener('closed');
    else this.#listeners.push(listener);
  }

  close(): void {
    this.#closed = true;
  }

  /** One connection answers in order: what was sent later is not run before. */
  #ask<T>(what: string, deadlineMs: number, effect: (engine: SimEngine) => T): Promise<T> {
    const answer = this.#tail.then(() => this.#run(what, deadlineMs, effect));
    this.#tail = answer.then(
      () => undefined,
      () => undefined,
    );
    return answer;
  }

  /** A command: answered only by an engine that runs and is not busy, within the deadline. */
  async #run<T>(what: string, deadlineMs: number, effect: (engine: SimEngine) => T): Promise<T> {
    const { clock } = this.#world;
    const deadline = clock.ticks() + deadlineMs;
    while (!this.#engine.answers(clock.ticks())) {
      if (this.#closed || !this.#engine.alive) throw new Error(`${what}: connection closed`);
      if (clock.ticks() >= deadline) throw new Error(`${what}: no answer within ${deadlineMs} ms`);
      await clock.sleep(10);
    }
    return this.#node.call(what, deadlineMs, () => {
      if (!this.#engine.answers(clock.ticks())) throw new Error(`${what}: connection closed`);
      return effect(this.#engine);
    });
  }

  ping(deadlineMs: number): Promise<'pong' | 'busy' | 'loading'> {
    return this.#ask('ping', deadlineMs, () => 'pong' as const);
  }

  beat(answered: (answer: 'pong' | 'busy' | 'loading') => void): void {
    this.ping(NEVER_MS).then(answered, () => undefined);
  }

  facts(deadlineMs: number): Promise<EngineFacts> {
    return this.#ask('facts', deadlineMs, (e) =>
      e.facts(
        this.#world.clock.ticks(),
        (id) => this.#world.portOf(id),
        this.#world.dataOf(e).size,
      ),
    );
  }

  stream(deadlineMs: number): Promise<StreamFacts> {
    return this.facts(deadlineMs);
  }

  drained(deadlineMs: number): Promise<EngineFacts> {
    return this.facts(deadlineMs);
  }

  takeover(deadlineMs: number, without: readonly SlotRange[] = []): Promise<void> {
    return this.#ask('takeover', deadlineMs, (e) => {
      this.#watcher.takingOver(e);
      e.disown(without);
      this.#world.takeover(e);
    });
  }

  follow(primary: { id: string; port: number }, deadlineMs: number): Promise<void> {
    return this.#ask('follow', deadlineMs, (e) =>
      e.clustered
        ? e.follow(primary.id, 0, this.#world.clock.ticks())
        : e.follow(null, primary.port),
    );
  }

  becomePrimary(deadlineMs: number): Promise<void> {
    return this.#ask('becomePrimary', deadlineMs, (e) => {
      this.#watcher.takingOver(e);
      e.becomePrimary(this.#world.random.hex(20));
    });
  }

  meet(_host: string, port: number, _bus: number, deadlineMs: number): Promise<void> {
    return this.#ask('meet', deadlineMs, (e) => {
      const other = this.#world.running().find((each) => each.port === port);
      if (other === undefined) return;
      e.knows.add(other.id);
      other.knows.add(e.id);
      e.deafen(other.id, 0);
      other.deafen(e.id, 0);
      if (e.followsId === other.id) other.sameShard.add(e.id);
    });
  }

  forget(id: string, deadlineMs: number): Promise<void> {
    return this.#ask('forget', deadlineMs, (e) => {
      e.knows.delete(id);
      e.told.delete(id);
    });
  }

  configure(settings: Readonly<Record<string, string>>, deadlineMs: number): Promise<void> {
    return this.#ask('configure', deadlineMs, (e) => {
      const vote = settings['cluster-replica-no-failover'];
      if (vote !== undefined) e.mayVote = vote === 'no';
    });
  }

  moveSlots(ranges: readonly SlotRange[], target: string, deadlineMs: number): Promise<void> {
    return this.#ask('moveSlots', deadlineMs, (e) => this.#world.jobs.begin(e, ranges, target));
  }

  slotMoves(deadlineMs: number): Promise<readonly SlotMoveFacts[]> {
    return this.#ask('slotMoves', deadlineMs, (e) => this.#world.jobs.facts(e));
  }

  cancelSlotMoves(deadlineMs: number): Promise<void> {
    return this.#ask('cancelSlotMoves', deadlineMs, (e) => this.#world.jobs.cancel(e));
  }

  claimSlots(ranges: readonly SlotRange[], deadlineMs: number): Promise<void> {
    return this.#ask('claimSlots', deadlineMs, (e) => {
      this.#watcher.claiming(e, ranges);
      e.slots = union(e.slots, ranges);
      e.epoch = this.#world.newestEpoch(e.group) + 1;
    });
  }

  flushSlots(ranges: readonly SlotRange[], deadlineMs: number): Promise<void> {
    return this.#ask('flushSlots', deadlineMs, (e) => this.#world.flushSlots(e, ranges));
  }

  dumpFunctions(deadlineMs: number): Promise<Buffer> {
    return this.#ask('dumpFunctions', deadlineMs, (e) => Buffer.from(String(e.functions)));
  }

  restoreFunctions(dump: Buffer, deadlineMs: number): Promise<void> {
    return this.#ask('restoreFunctions', deadlineMs, (e) =>
      this.#world.loadFunctions(e, Number(String(dump))),
    );
  }

  readSettings(): Promise<Record<string, string>> {
    return Promise.resolve({});
  }

  commands(): Promise<ReadonlySet<string>> {
    return Promise.resolve(new Set());
  }

  setUser(user: { name: string; enabled: boolean }, deadlineMs: number): Promise<void> {
    return this.#ask('setUser', deadlineMs, (e) => {
      if (user.name === 'default') e.clientsAllowed = user.enabled;
    });
  }

  removeUser(): Promise<void> {
    return Promise.resolve();
  }

  pauseWrites(ms: number, deadlineMs: number): Promise<void> {
    return this.#ask('pause', deadlineMs, (e) => {
      e.pausedUntil = this.#world.clock.ticks() + ms;
    });
  }

  unpause(deadlineMs: number): Promise<void> {
    return this.#ask('unpause', deadlineMs, (e) => {
      this.#watcher.unpausing(e);
      e.pausedUntil = 0;
    });
  }

  unblockWaits(deadlineMs: number): Promise<number> {
    return this.#ask('unblock', deadlineMs, () => 0);
  }

  flush(deadlineMs: number): Promise<void> {
    return this.#ask('flush', deadlineMs, (e) => this.#world.flush(e));
  }

  disconnect(_user: string | null, deadlineMs: number): Promise<number> {
    return this.#ask('disconnect', deadlineMs, () => 0);
  }

  save(deadlineMs: number): Promise<void> {
    return this.#ask('save', deadlineMs, (e) => void this.#world.files.set(e.dataDir, [...e.log]));
  }

  command(): Promise<unknown> {
    return Promise.reject(new Error('the simulator has no raw commands'));
  }
}
