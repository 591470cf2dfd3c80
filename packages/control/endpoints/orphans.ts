/**
 * Workers whose supervisor is gone. They serve on with the sockets they have, so nobody notices; but
 * nobody would restart them either, so they are followed by workers of a new supervisor.
 *
 * Told to leave first, they would free their ports before the successors listen: every client is
 * refused meanwhile, and a closed listening socket resets those in its queue. So the order is: one
 * of them starts the next supervisor, which inherits the sockets; its workers serve beside them; then
 * all of them drain. Until then they hear what every worker hears (snapshots, holds, releases): a
 * decision about a shard must reach whoever has clients.
 */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Event, PROTOCOL, type Raised } from '../../endpoint/control-protocol.ts';
import {
  neighbourSocket,
  SUPERVISOR_PROGRAM,
  WORKER_SOCKET,
} from '../../endpoint/supervisor-protocol.ts';
import { alive, spawnSupervisor } from './launch.ts';
import { ANSWER_WAIT_MS, ORPHAN_DRAIN_MS, ORPHAN_RELEASE_MS } from './limits.ts';
import { Peer } from './peer.ts';
import type { WorkerRequest } from './worker-links.ts';

export interface OrphanOwner {
  readonly folder: string;
  readonly build: string;
  event(event: Event): void;
  say(reason: string, detail: string): void;
}

export class Orphans {
  readonly #owner: OrphanOwner;
  /** By pid. */
  readonly #peers = new Map<number, Peer>();
  readonly #leaving = new Set<number>();

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
        if (supervised.has(pid) || this.#peers.has(pid)) return;
        const path = join(this.#owner.folder, name);
        try {
          const peer = await Peer.open({
            path,
            protocol: PROTOCOL,
            build: this.#owner.build,
            onMessage: (message) => {
              if (message.type === 'event') this.#owner.event(message as unknown as Event);
            },
            onClose: () => {
              this.#peers.delete(pid);
              this.#leaving.delete(pid);
              if (!alive(pid)) removeNames(path);
            },
          });
          this.#peers.set(pid, peer);
        } catch {
          removeNames(path); // nobody listens
        }
      }),
    );
    return [...this.#peers.keys()];
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
          if (peer.open) process.kill(pid, 'SIGKILL');
        });
        // Answered after the drain began, and that closes the listening sockets first of all.
        await peer.request({ type: 'counters' }, ORPHAN_RELEASE_MS).catch(() => {});
      }),
    );
  }

  close(): void {
    for (const peer of this.#peers.values()) peer.end();
    this.#peers.clear();
  }
}

/** By an orphan if there is one that can, else by us. `exited` says how it ended, or null. */
export async function startSupervisor(
  orphans: Orphans,
  folder: string,
  logFile: string | null,
): Promise<{ pid: number; exited: () => string | null }> {
  const raised = await orphans.raiseSupervisor();
  if (raised !== null) return { pid: raised, exited: () => (alive(raised) ? null : 'it died') };
  await orphans.drain(); // one that inherits nothing needs their ports free
  let exited: string | null = null;
  const pid = spawnSupervisor(folder, logFile, (code) => {
    exited = `exit code ${code}`;
  });
  return { pid, exited: () => exited };
}

function removeNames(path: string): void {
  rmSync(path, { force: true });
  rmSync(neighbourSocket(path), { force: true });
}
