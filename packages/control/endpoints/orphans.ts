/**
 * Workers whose supervisor is gone. They serve on with the sockets they have, so nobody notices; but
 * nobody would restart them either, so they are followed by workers of a new supervisor.
 *
 * Told to leave first, they would free their ports before the successors listen: every client is
 * refused meanwhile, and a closed listening socket resets those in its queue. So the order is: one
 * of them starts the next supervisor, which inherits the sockets; its workers serve beside them; then
 * all of them drain. Until then they hear what every worker hears (snapshots, holds, releases): a
 * decision about a shard must reach whoever has clients. That includes what was decided while nobody
 * was connected to them, so each is brought up to date when it is found.
 */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Event,
  PROTOCOL,
  type Raised,
  type Snapshot,
} from '../../endpoint/control-protocol.ts';
import {
  neighbourSocket,
  SUPERVISOR_PROGRAM,
  WORKER_SOCKET,
} from '../../endpoint/supervisor-protocol.ts';
import { ControlError } from '../errors.ts';
import { alive, signalTo, spawnSupervisor } from './launch.ts';
import {
  ANSWER_WAIT_MS,
  CONNECT_RETRY_MS,
  ORPHAN_DRAIN_MS,
  ORPHAN_RELEASE_MS,
  REACH_AGAIN_MS,
  SUPERVISOR_START_MS,
} from './limits.ts';
import { NoHello, Peer } from './peer.ts';
import { killIfStill } from './silence.ts';
import { tellHolds, type WorkerRequest } from './worker-links.ts';

export interface OrphanOwner {
  readonly folder: string;
  readonly build: string;
  lastSnapshot(): Snapshot | null;
  /** Holds in force: shard and the deadline (by `performance.now()`). */
  holds(): Iterable<readonly [shard: string, deadlineAt: number]>;
  event(event: Event): void;
  say(reason: string, detail: string): void;
}

export class Orphans {
  readonly #owner: OrphanOwner;
  /** By pid. */
  readonly #peers = new Map<number, Peer>();
  readonly #reaching = new Map<number, Promise<void>>();
  readonly #leaving = new Set<number>();
  #closed = false;

  constructor(owner: OrphanOwner) {
    this.#owner = owner;
  }

  /**
   * All workers of the run folder but these are orphans; answers all that are known. Names that
   * nobody serves are removed.
   */
  async find(supervised: ReadonlySet<number>): Promise<number[]> {
    const names = readdirSync(this.#owner.folder).filter((name) => WORKER_SOCKET.test(name));
    await Promise.all(
      names.map(async (name) => {
        const pid = Number(WORKER_SOCKET.exec(name)?.[1]);
        if (!supervised.has(pid)) await this.#reach(pid, join(this.#owner.folder, name));
      }),
    );
    return [...this.#peers.keys()];
  }

  /** Once at a time: of two links to one worker the end of the first would hide the second. */
  #reach(pid: number, path: string): Promise<void> {
    const reaching = this.#reaching.get(pid) ?? this.#open(pid, path);
    this.#reaching.set(pid, reaching);
    return reaching.finally(() => this.#reaching.delete(pid));
  }

  async #open(pid: number, path: string): Promise<void> {
    if (this.#peers.has(pid) || this.#closed) return;
    try {
      const peer = await Peer.open({
        path,
        protocol: PROTOCOL,
        build: this.#owner.build,
        onMessage: (message) => {
          if (message.type === 'event') this.#owner.event(message as unknown as Event);
        },
        onClose: () => {
          const leaving = this.#leaving.delete(pid);
          this.#peers.delete(pid);
          if (!alive(pid)) removeNames(path);
          // It serves on, and what is decided has to reach whoever has clients.
          else if (!leaving) setTimeout(() => void this.#reach(pid, path), REACH_AGAIN_MS).unref();
        },
      });
      this.#peers.set(pid, peer);
      tellHolds(peer, this.#owner);
      const snapshot = this.#owner.lastSnapshot();
      // One that is newer already refuses it.
      if (snapshot !== null) this.#push(peer, snapshot).catch(() => {});
    } catch (error) {
      if (!(error instanceof NoHello)) {
        if (/ECONNREFUSED|ENOENT/.test(String(error)) || !alive(pid)) removeNames(path); // nobody listens
      } else if (await killIfStill(pid)) {
        this.#owner.say('worker-hung', `${pid}: it had no supervisor and says no hello; killed`);
        removeNames(path);
      }
    }
  }

  /** Null when none of them can: they are of an older build, leave already, or do not answer. */
  async raiseSupervisor(): Promise<number | null> {
    const request = {
      type: 'raise-supervisor',
      runtime: process.execPath,
      program: SUPERVISOR_PROGRAM,
    };
    for (const [pid, peer] of [...this.#peers]) {
      if (this.#leaving.has(pid)) continue;
      try {
        return ((await peer.request(request, ANSWER_WAIT_MS)) as Raised).pid;
      } catch (error) {
        this.#owner.say('orphans', `worker ${pid} starts no supervisor: ${String(error)}`);
      }
    }
    return null;
  }

  #push(peer: Peer, snapshot: Snapshot): Promise<unknown> {
    return peer.request({ type: 'snapshot', snapshot } as { type: string }, ANSWER_WAIT_MS);
  }

  /** By pid: each one's answer or its failure. */
  async ask(request: WorkerRequest, deadlineMs: number): Promise<Map<number, unknown>> {
    const answers = new Map<number, unknown>();
    await Promise.all(
      [...this.#peers].map(async ([pid, peer]) => {
        const answer = await peer.request(request, deadlineMs).catch((error: Error) => error);
        answers.set(pid, answer);
      }),
    );
    return answers;
  }

  /**
   * Resolves when all of them have closed their listening sockets (their clients may take longer to
   * leave). Who is still there after its deadline is killed.
   */
  async drain(): Promise<void> {
    const staying = [...this.#peers].filter(([pid]) => !this.#leaving.has(pid));
    if (staying.length === 0) return;
    const pids = staying.map(([pid]) => pid);
    this.#owner.say('orphans', `workers ${pids.join(', ')} had no supervisor; draining`);
    await Promise.all(
      staying.map(async ([pid, peer]) => {
        this.#leaving.add(pid);
        const left = peer.request(
          { type: 'drain', deadlineMs: ORPHAN_DRAIN_MS } as { type: string },
          ORPHAN_RELEASE_MS,
        );
        left.catch(() => {
          // Its socket is open, so this is still the process that said hello.
          if (peer.open) signalTo(pid, 'SIGKILL');
        });
        // Answered after the drain began, and that closes the listening sockets first of all.
        await peer.request({ type: 'counters' }, ORPHAN_RELEASE_MS).catch(() => {});
      }),
    );
  }

  close(): void {
    this.#closed = true;
    for (const peer of this.#peers.values()) peer.end();
    this.#peers.clear();
  }
}

/**
 * By an orphan if there is one that can, else by us. Resolves with what `open` answers when the
 * supervisor's socket is there.
 */
export async function startSupervisor(
  orphans: Orphans,
  { folder, logFile }: { readonly folder: string; readonly logFile: string | null },
  open: () => Promise<Peer>,
): Promise<Peer> {
  let exited: string | null = null;
  let pid = await orphans.raiseSupervisor();
  const raised = pid !== null;
  if (pid === null) {
    await orphans.drain(); // one that inherits nothing needs their ports free
    pid = spawnSupervisor(folder, logFile, (code) => {
      exited = `exit code ${code}`;
    });
  }
  const end = performance.now() + SUPERVISOR_START_MS;
  while (exited === null && performance.now() < end) {
    try {
      return await open();
    } catch {
      if (raised && !alive(pid)) exited = 'it died';
      else await new Promise((resolve) => setTimeout(resolve, CONNECT_RETRY_MS));
    }
  }
  throw new ControlError(
    'SupervisorNotStarted',
    500,
    `the endpoint supervisor ${pid} did not come up (${exited ?? 'no answer'}); see ${logFile ?? 'its output'}`,
  );
}

function removeNames(path: string): void {
  rmSync(path, { force: true });
  rmSync(neighbourSocket(path), { force: true });
}
