/**
 * The node and engine interfaces over the simulated machine, seen from one incarnation of the
 * control process. Calls take time; some are lost on the way, of some only the answer is lost; and
 * when the incarnation dies, its calls stop having effects at whatever point they were.
 */
import type {
  EngineLaunch,
  EngineLink,
  EngineLogin,
  EngineNode,
  ProcessFacts,
  ProcessRef,
} from '../../engine/contract.ts';
import { SimLink } from './link.ts';
import type { Incarnation, Trouble, Watcher } from './trouble.ts';
import type { World } from './world.ts';

const FAST_MS = 3;
/** Made anew each time: one for all would keep every life that ever waited for it. */
const never = (): Promise<never> => new Promise(() => undefined);

export class SimNode implements EngineNode {
  readonly id = 'local';
  readonly engine = { name: 'valkey', version: '9.1.2', origin: 'simulated', sha256: '' } as const;
  readonly #world: World;
  readonly #life: Incarnation;
  readonly #trouble: Trouble;
  readonly #watcher: Watcher;

  constructor(world: World, life: Incarnation, trouble: Trouble, watcher: Watcher) {
    this.#world = world;
    this.#life = life;
    this.#trouble = trouble;
    this.#watcher = watcher;
  }

  /** A call: time passes, trouble may happen, the effect happens at most once. */
  async call<T>(
    what: string,
    deadlineMs: number,
    effect: () => T,
    delayMs = this.#world.random.between(0, FAST_MS),
  ): Promise<T> {
    const { clock, random } = this.#world;
    const trouble = this.#trouble;
    if (delayMs > 0) await clock.sleep(delayMs);
    if (this.#life.dead) return never();
    if (random.chance(trouble.crash)) {
      await endOfTurn();
      this.#watcher.crash();
      return never();
    }
    if (random.chance(trouble.lostCall)) {
      trouble.faults++;
      await clock.sleep(deadlineMs);
      if (this.#life.dead) return never();
      throw new Error(`${what}: no answer within ${deadlineMs} ms`);
    }
    const result = effect();
    this.#watcher.changed(what);
    if (random.chance(trouble.crash)) {
      await endOfTurn();
      this.#watcher.crash();
      return never();
    }
    const lost = random.chance(trouble.lostReply);
    if (lost) trouble.faults++;
    await clock.sleep(lost ? deadlineMs : random.between(0, FAST_MS));
    if (this.#life.dead) return never();
    if (lost) throw new Error(`${what}: no answer within ${deadlineMs} ms`);
    return result;
  }

  /** One version only. */
  known(): null {
    return null;
  }

  start(launch: EngineLaunch): Promise<ProcessRef> {
    return this.call('start', 100, () => {
      this.#watcher.starting(launch);
      return this.#world.start(launch).process;
    });
  }

  find(dataDir?: string): ReturnType<EngineNode['find']> {
    return this.call('find', 100, () =>
      this.#world
        .running()
        .filter((e) => dataDir === undefined || e.dataDir === dataDir)
        .map((e) => ({ dataDir: e.dataDir, process: e.process })),
    );
  }

  /** Nobody waits for a core here. */
  ease(): void {}

  /** Done in the moment in which it is asked for; on a machine it may have to wait for its turn. */
  weigh(process: ProcessRef, weight: 'light' | 'full'): void {
    const engine = this.#world.byProcess(process);
    if (engine !== undefined && !this.#life.dead) engine.light = weight === 'light';
  }

  inspect(process: ProcessRef): ProcessFacts {
    const engine = this.#world.byProcess(process);
    const busy = engine !== undefined && engine.busyUntil > this.#world.clock.ticks();
    return {
      state: engine?.state ?? 'gone',
      cpuTicks: busy ? Math.floor(this.#world.clock.ticks()) : 0,
      rssBytes: 1_000_000,
      runnable: busy,
    };
  }

  /** Nobody hears a process end here: what is right must be right without that. */
  onExit(): void {}

  kill(process: ProcessRef, deadlineMs: number): Promise<void> {
    // The signal is sent in the turn that decided on it: nothing can have died in between.
    const signal = () => {
      const engine = this.#world.byProcess(process);
      if (engine !== undefined) this.#world.end(engine);
    };
    return this.call('kill', deadlineMs, signal, 0);
  }

  async link(socket: string, _login: EngineLogin, deadlineMs: number): Promise<EngineLink> {
    const engine = await this.call('link', deadlineMs, () => {
      const found = this.#world.running().find((e) => e.socket === socket);
      return found?.answers(this.#world.clock.ticks()) === true ? found : undefined;
    });
    if (engine === undefined) throw new Error('connection refused');
    return new SimLink(this, this.#world, engine, this.#life, this.#watcher);
  }

  setAside(dataDir: string, _label: string): Promise<void> {
    return this.call('setAside', 100, () => {
      if (!this.#world.files.has(dataDir)) return;
      this.#world.files.delete(dataDir);
      this.#world.consumed.delete(dataDir);
      this.#world.aside.set(dataDir, (this.#world.aside.get(dataDir) ?? 0) + 1);
    });
  }

  dropAside(dataDir: string): Promise<void> {
    return this.call('dropAside', 100, () => void this.#world.aside.delete(dataDir));
  }

  removeData(dataDir: string): Promise<void> {
    return this.call('removeData', 100, () => {
      this.#watcher.removing(dataDir);
      this.#world.files.delete(dataDir);
      this.#world.consumed.delete(dataDir);
      this.#world.aside.delete(dataDir);
    });
  }

  dataFile(dataDir: string): ReturnType<EngineNode['dataFile']> {
    return this.call('dataFile', 100, () => {
      const log = this.#world.files.get(dataDir) ?? null;
      if (log === null) return null;
      return { path: dataDir, bytes: log.length, sha256: this.#world.hashOf(log) };
    });
  }

  dropDataFile(dataDir: string): Promise<void> {
    return this.call('dropDataFile', 100, () => {
      if (this.#world.files.has(dataDir)) this.#world.files.set(dataDir, null);
    });
  }

  consumeDataFile(dataDir: string): Promise<void> {
    return this.call('consume', 100, () => {
      const log = this.#world.files.get(dataDir) ?? null;
      if (log === null) return;
      this.#world.consumed.set(dataDir, log);
      this.#world.files.set(dataDir, null);
    });
  }

  canWriteRole(): boolean {
    return true;
  }

  reviveDataFile(dataDir: string, sha256: string): Promise<boolean> {
    return this.call('revive', 100, () => {
      const log = this.#world.consumed.get(dataDir);
      if (log === undefined || this.#world.hashOf(log) !== sha256) return false;
      if ((this.#world.files.get(dataDir) ?? null) !== null) return false;
      this.#world.files.set(dataDir, log);
      this.#world.consumed.delete(dataDir);
      return true;
    });
  }

  portIsFree(_host: string, port: number): Promise<boolean> {
    return this.call('portIsFree', 100, () => !this.#world.isTaken(port));
  }
}

/** A call without delay dies with its caller's turn, not in the middle of it: nobody is there to catch that. */
function endOfTurn(): Promise<void> {
  return Promise.resolve();
}
