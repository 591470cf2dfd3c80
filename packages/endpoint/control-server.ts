/** A worker's side of the contract with the control process: requests in, answers and events out. */
import { dirname } from 'node:path';
import { type Answer, type Event, PROTOCOL, type Request } from './control-protocol.ts';
import { ControlSocket } from './control-socket.ts';
import { mergeLarge } from './counters.ts';
import type { DataPath } from './data-path.ts';
import type { FrameConnection } from './frame-connection.ts';
import type { Message } from './frames.ts';
import { EVENT_BACKPRESSURE_BYTES } from './limits.ts';
import { messageOf } from './say.ts';
import { EventRing } from './worker/events.ts';
import { raiseSupervisor } from './worker/raise-supervisor.ts';
import type { Worker } from './worker/worker.ts';

export class ControlServer {
  readonly #path: string;
  readonly #socket: ControlSocket;
  readonly #greeted = new Set<FrameConnection>();
  readonly #ring: EventRing;
  #worker: Worker | null = null;

  readonly #leave: (deadlineMs: number) => Promise<void>;

  /** `leave` drains the worker and, a turn after it resolved, ends this process. */
  constructor(path: string, build: string, leave: (deadlineMs: number) => Promise<void>) {
    this.#path = path;
    this.#leave = leave;
    this.#ring = new EventRing((event) => this.#deliver(event));
    this.#socket = new ControlSocket({
      path,
      protocol: PROTOCOL,
      build: () => build,
      opened: (connection) => {
        this.#greeted.add(connection);
        connection.socket.on('drain', () => this.#ring.flush());
        connection.socket.on('close', () => this.#greeted.delete(connection));
        this.#ring.flush();
      },
      message: (connection, message) => void this.#request(connection, message),
      misfit: (protocol) => ({
        ...this.#refusal(
          0,
          'protocol-mismatch',
          `this worker speaks protocol ${PROTOCOL}, not ${String(protocol)}`,
        ),
      }),
    });
  }

  async listen(worker: Worker): Promise<void> {
    this.#worker = worker;
    await this.#socket.listen();
  }

  emit(event: Event): void {
    this.#ring.emit(event);
  }

  close(): void {
    this.#socket.close();
  }

  #deliver(event: Event): boolean {
    let delivered = false;
    for (const connection of this.#greeted) {
      if (connection.backlog > EVENT_BACKPRESSURE_BYTES) continue;
      connection.send(event);
      delivered = true;
    }
    return delivered;
  }

  async #request(connection: FrameConnection, message: Message): Promise<void> {
    const worker = this.#worker;
    if (worker === null) return;
    const request = message as unknown as Request;
    try {
      const result = await this.#perform(worker, request);
      const answer: Answer = { type: 'done', id: request.id, epoch: worker.epoch, result };
      connection.send(answer);
    } catch (error) {
      // Also of an answer that is longer than a frame.
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'failed';
      connection.send(this.#refusal(request.id, code, messageOf(error)));
    }
  }

  async #perform(worker: Worker, request: Request): Promise<unknown> {
    switch (request.type) {
      case 'snapshot':
        return { failed: await worker.apply(request.snapshot) };
      case 'prepare':
        await Promise.all(
          pathsOf(worker, request.shard).map((path) => path.prepare(request.shard)),
        );
        return null;
      case 'hold':
        await holdAll(pathsOf(worker, request.shard), request.shard, request.deadlineMs);
        return null;
      case 'expect':
        refuseTooNew(worker, request.epoch);
        for (const path of pathsOf(worker, request.shard)) {
          path.expect(request.shard, request.successor);
        }
        return null;
      case 'release':
        refuseTooNew(worker, request.epoch);
        for (const path of pathsOf(worker, request.shard)) {
          path.release(request.shard, request.epoch, request.successor);
        }
        return null;
      case 'drain':
        await this.#leave(request.deadlineMs);
        return null;
      case 'raise-supervisor':
        return { pid: raiseSupervisor(worker.listeners.held(), request, dirname(this.#path)) };
      case 'counters':
        return worker.report();
      case 'clients':
        return worker.clients(request.database, request.most);
      case 'kill': {
        for (const front of worker.fronts()) {
          if (front.kill(request.client, request.reason)) return true;
        }
        return false;
      }
      case 'config-answer':
        for (const { path } of worker.frontsOf(request.database)) {
          path.configAnswered(request.serial, request.error);
        }
        return null;
      case 'large':
        return mergeLarge(worker.frontsOf(request.database).flatMap(({ path }) => path.large()));
      default:
        throw new Refused('unknown-request', `'${String((request as Message).type)}' is unknown`);
    }
  }

  #refusal(id: number, code: string, message: string): Answer {
    return { type: 'refused', id, epoch: this.#worker?.epoch ?? 0, code, message };
  }
}

class Refused extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** What is said may have come right behind a snapshot, which is applied: a later one would undo it. */
function refuseTooNew(worker: Worker, epoch: number): void {
  if (worker.epoch >= epoch) return;
  throw new Refused(
    'epoch-not-here',
    `this worker runs epoch ${worker.epoch}; a word for ${epoch} would be about the primary before`,
  );
}

/** Those of its database: the one behind the common address, and those of single shards. */
function pathsOf(worker: Worker, shard: string): DataPath[] {
  const database = shard.slice(0, shard.lastIndexOf('/'));
  const paths = worker.frontsOf(database).map(({ path }) => path);
  if (paths.length === 0) {
    throw new Refused('unknown-shard', `no database here has a shard ${shard}`);
  }
  return paths;
}

async function holdAll(
  paths: readonly DataPath[],
  shard: string,
  deadlineMs: number,
): Promise<void> {
  const deadlineAt = performance.now() + deadlineMs;
  const held = await Promise.allSettled(paths.map((path) => path.hold(shard, deadlineAt)));
  const failed = held.find((each) => each.status === 'rejected');
  if (failed === undefined) return;
  // One alone that goes on holding would only make its clients wait.
  for (const path of paths) path.release(shard, 0, null);
  throw failed.reason;
}
