/**
 * The endpoint supervisor: owns the listening sockets, keeps workers running, and outlives the
 * control process. It decides nothing about data: what to serve comes from the control process and
 * is only kept (in memory) for workers that start while control is away.
 */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Counters, Snapshot } from '../control-protocol.ts';
import { ControlSocket } from '../control-socket.ts';
import { countersOf, mergeCounters, withoutGauges } from '../counters.ts';
import type { FrameConnection } from '../frame-connection.ts';
import type { Message } from '../frames.ts';
import type { InheritedSocket } from '../inherited.ts';
import {
  DRAIN_MS,
  MOST_WORKERS,
  NUMBERS_A_BLOCK,
  PERMIT_RECALL_MS,
  TICKET_KEY_ROTATION_MS,
} from '../limits.ts';
import { neighbourSocket } from '../neighbours.ts';
import { messageOf, say } from '../say.ts';
import {
  type LeaseResult,
  type ListenFailure,
  type PublishResult,
  SUPERVISOR_PROTOCOL,
  SUPERVISOR_SOCKET,
  type SupervisorRequest,
  type WorkersEvent,
} from '../supervisor-protocol.ts';
import { addressOf, type FromWorker } from '../worker-ipc.ts';
import { HangWatch } from './hang.ts';
import { type Address, Listening } from './listening.ts';
import { PermitBook } from './permit-book.ts';
import { Watchdog } from './watchdog.ts';
import { WorkerPool } from './worker-pool.ts';
import type { WorkerProcess } from './worker-process.ts';

export class Supervisor {
  readonly #listening: Listening;
  readonly #watchdog = new Watchdog();
  readonly #permits: PermitBook;
  readonly #pool: WorkerPool;
  readonly #hangs: HangWatch;
  readonly #control: ControlSocket;
  readonly #rotation: NodeJS.Timeout;
  readonly #exit: () => void;
  #ticketSecret = randomBytes(48).toString('base64');
  #snapshot: Snapshot | null = null;
  #failures: readonly ListenFailure[] = [];
  #retired: Counters | null = null;
  #build = 'unknown';
  #nextNumber = 1;

  /** `inherited`: what the one before left to it, by the worker that started it. */
  constructor(folder: string, inherited: readonly InheritedSocket[], exit: () => void) {
    this.#listening = new Listening(inherited);
    this.#exit = exit;
    this.#permits = new PermitBook({
      grant: (pid, database, granted) =>
        this.#worker(pid)?.send({ type: 'permits', database, granted }),
      recall: (pid, database) => this.#worker(pid)?.send({ type: 'recall', database }),
    });
    this.#pool = new WorkerPool(folder, {
      started: (worker) => this.#equip(worker),
      message: (worker, message) => this.#fromWorker(worker, message),
      gone: (worker, detail) => this.#gone(worker, detail),
      changed: () => {
        this.#introduce();
        this.#announce();
        this.#entrustAll();
      },
    });
    this.#hangs = new HangWatch(() => this.#pool.workers());
    this.#control = new ControlSocket({
      path: join(folder, SUPERVISOR_SOCKET),
      protocol: SUPERVISOR_PROTOCOL,
      build: () => this.#build,
      opened: (connection) => connection.send(this.#workersEvent()),
      message: (connection, message) => void this.#request(connection, message),
      misfit: (protocol) => ({
        type: 'refused',
        id: 0,
        code: 'protocol-mismatch',
        message: `this supervisor speaks protocol ${SUPERVISOR_PROTOCOL}, not ${String(protocol)}`,
      }),
    });
    this.#rotation = setInterval(() => {
      this.#ticketSecret = randomBytes(48).toString('base64');
      for (const worker of this.#pool.workers()) {
        worker.send({ type: 'ticket-secret', ticketSecret: this.#ticketSecret });
      }
    }, TICKET_KEY_ROTATION_MS);
  }

  listen(): Promise<void> {
    return this.#control.listen();
  }

  /** Drains the workers, closes everything, then exits. */
  async stop(deadlineMs: number): Promise<void> {
    say('supervisor', 'stopping');
    clearInterval(this.#rotation);
    this.#watchdog.close();
    this.#hangs.close();
    // Nobody accepts any more, so nobody should wait in a queue.
    this.#listening.close();
    await this.#pool.stop(deadlineMs);
    this.#control.close();
    this.#exit();
  }

  async #request(connection: FrameConnection, message: Message): Promise<void> {
    const request = message as unknown as SupervisorRequest;
    try {
      const result = await this.#answer(request);
      connection.send({ type: 'done', id: request.id, result } as { type: string });
    } catch (error) {
      const code = error instanceof Refused ? error.code : 'failed';
      connection.send({ type: 'refused', id: request.id, code, message: messageOf(error) } as {
        type: string;
      });
    }
  }

  async #answer(request: SupervisorRequest): Promise<unknown> {
    switch (request.type) {
      case 'publish':
        return this.#publish(request);
      case 'lease': {
        if (request.end) {
          await this.#watchdog.end(request.targets);
          return { expired: true } satisfies LeaseResult;
        }
        return { expired: this.#watchdog.renew(request.targets) } satisfies LeaseResult;
      }
      case 'replace':
        await this.#pool.replace(request.pid, request.deadlineMs);
        return null;
      case 'stop':
        // Answered first: the other side also sees the socket close when all is done.
        setImmediate(() => void this.stop(request.deadlineMs));
        return null;
      default:
        throw new Refused('unknown-request', `'${String((request as Message).type)}' is unknown`);
    }
  }

  async #publish(request: Extract<SupervisorRequest, { type: 'publish' }>): Promise<PublishResult> {
    const { plan, snapshot } = request;
    if (!Number.isInteger(plan.count) || plan.count < 1 || plan.count > MOST_WORKERS) {
      throw new Refused(
        'bad-worker-count',
        `${plan.count} workers: 1 to ${MOST_WORKERS} are possible`,
      );
    }
    if (this.#snapshot !== null && snapshot.epoch < this.#snapshot.epoch) {
      throw new Refused(
        'stale-epoch',
        `epoch ${snapshot.epoch} is older than ${this.#snapshot.epoch}, which is being served`,
      );
    }
    this.#snapshot = snapshot;
    this.#build = plan.build;
    const { base = null } = request;
    if (base !== null && this.#retired === null) this.#keep(base);
    const wanted = new Map<string, Address>();
    const limits = new Map<string, number>();
    for (const database of snapshot.databases) {
      limits.set(database.id, database.limits.maxConnections);
      for (const listen of database.listen) wanted.set(addressOf(listen), listen);
    }
    this.#permits.limits(limits);
    if (this.#retired !== null) this.#retired = countersOf(this.#retired, limits.keys());
    const before = this.#listening.names();
    const unwanted = before.filter((address) => !wanted.has(address));
    const closed = this.#pool
      .workers()
      .flatMap((worker) => unwanted.map((address) => worker.unlisten(address)));
    const failed = this.#listening.reconcile(wanted, plan.count);
    this.#failures = failed;
    const running = this.#pool.workers();
    const known = new Set(before);
    for (const worker of running) {
      worker.send({ type: 'workers', workers: plan.count });
      if (worker.state !== 'draining') this.#lend(worker, (address) => !known.has(address));
      // The control process reaches only those that are ready.
      if (worker.state === 'starting') worker.send({ type: 'snapshot', snapshot });
    }
    this.#pool.setPlan(plan, DRAIN_MS);
    // Whoever hears the answer may take the port for free.
    await Promise.all(closed);
    return { failed };
  }

  /** Everything a new worker needs, in one go: control may be away. */
  #equip(worker: WorkerProcess): void {
    worker.send({
      type: 'start',
      slot: worker.slot,
      workers: this.#pool.slots,
      socket: worker.socket,
      build: this.#build,
      ticketSecret: this.#ticketSecret,
      snapshot: this.#snapshot,
    });
    this.#lend(worker, () => true);
    this.#giveNumbers(worker);
  }

  #giveNumbers(worker: WorkerProcess): void {
    worker.send({ type: 'numbers', first: this.#nextNumber });
    this.#nextNumber += NUMBERS_A_BLOCK;
  }

  /** Tells each worker who the others are. */
  #introduce(): void {
    const known = this.#pool
      .workers()
      .filter(({ state }) => state === 'serving' || state === 'draining')
      .map(({ pid, socket }) => ({ pid, socket: neighbourSocket(socket) }));
    for (const worker of this.#pool.workers()) {
      const others = known.filter((other) => other.pid !== worker.pid);
      worker.send({ type: 'neighbours', others });
    }
  }

  #lend(worker: WorkerProcess, which: (address: string) => boolean): void {
    for (const address of this.#listening.names()) {
      if (!which(address)) continue;
      const handle = this.#listening.handle(address, worker.slot);
      if (handle !== null) worker.send({ type: 'listener', address, failure: null }, handle);
    }
    for (const { address, reason } of this.#failures) {
      worker.send({ type: 'listener', address, failure: reason });
    }
  }

  /** Last of all, since a descriptor delays the messages behind it: a start must not wait for these. */
  #entrustAll(): void {
    for (const worker of this.#pool.workers()) {
      if (worker.state === 'serving') this.#entrust(worker);
    }
  }

  /** If this process dies, any one worker has all the queues for the next supervisor. */
  #entrust(worker: WorkerProcess): void {
    const entrusted = new Set<string>();
    for (const address of this.#listening.names()) {
      const own = this.#listening.handle(address, worker.slot);
      for (let slot = 0; slot < this.#listening.slots; slot += 1) {
        const handle = this.#listening.handle(address, slot);
        if (slot === worker.slot || handle === null || handle === own) continue;
        const key = `${slot} ${address}`;
        entrusted.add(key);
        if (!worker.entrusted.has(key)) worker.send({ type: 'keep', address, slot }, handle);
      }
    }
    worker.entrusted = entrusted;
  }

  #fromWorker(worker: WorkerProcess, message: FromWorker): void {
    if (message.type === 'want') {
      const { database, count } = message;
      const others = this.#pool.workers().map((other) => other.pid);
      const wish = this.#permits.want(worker.pid, database, count, others);
      setTimeout(() => this.#permits.stopWaiting(database, wish), PERMIT_RECALL_MS);
    } else if (message.type === 'return') {
      this.#permits.giveBack(worker.pid, message.database, message.count, message.answer);
    } else if (message.type === 'want-numbers') this.#giveNumbers(worker);
    else if (message.type === 'draining') this.#announce();
  }

  #gone(worker: WorkerProcess, detail: string): void {
    this.#permits.gone(worker.pid);
    rmSync(worker.socket, { force: true });
    rmSync(neighbourSocket(worker.socket), { force: true });
    if (worker.counted !== null) this.#keep(withoutGauges(worker.counted));
    if (!worker.retired)
      this.#control.broadcast({ type: 'worker-died', pid: worker.pid, detail } as never);
  }

  #keep(counted: Counters): void {
    this.#retired = this.#retired === null ? counted : mergeCounters([this.#retired, counted]);
  }

  #worker(pid: number): WorkerProcess | undefined {
    return this.#pool.workers().find((worker) => worker.pid === pid);
  }

  #announce(): void {
    this.#control.broadcast(this.#workersEvent());
  }

  #workersEvent(): WorkersEvent {
    return {
      type: 'workers',
      retired: this.#retired,
      workers: this.#pool
        .workers()
        .flatMap(({ slot, pid, socket, state }) =>
          state === 'gone' ? [] : [{ slot, pid, socket, state }],
        ),
    };
  }
}

class Refused extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}
