/**
 * Hung or busy? A worker that hangs (stopped, stuck in the kernel, a lock in a library) keeps its
 * sockets: the kernel goes on giving it its share of the new connections, other workers wait for
 * its answers, and no snapshot is ever applied by all. A death would heal, silence does not. So each
 * worker is asked every two seconds, over the channel there is anyway, and what does not answer is judged
 * by its process, as engines are: one that for three seconds used no CPU, nor waited for any, is hung
 * and ended; its successor takes over its listening sockets. One that works without answering is busy
 * with one turn of its loop and is left alone for a minute; no turn is that long unless it never ends.
 * So is one that sleeps in the kernel and cannot be woken (D), for a disk mostly: it would not die of a
 * signal before that is over, and then it goes on by itself, with its clients.
 *
 * The suspect may also be the machine. When this process itself was late, everybody's time begins
 * anew; when several workers are silent and none of them was stopped, nobody is ended for it.
 */
import { WORKER_ASKED_MS, WORKER_HUNG_MS, WORKER_LOOK_MS, WORKER_TURN_MS } from '../limits.ts';
import { statFields } from './stat.ts';

/** What /proc says of a process at one moment. */
export interface Look {
  /** The kernel's letter: R runs or waits for a core, T is stopped, D waits for a device, S for anything else. */
  readonly letter: string;
  readonly cpuTicks: number;
}

/** A question that is not answered yet. */
export interface Silence {
  readonly since: number;
  /** It neither worked nor waited for a core since then. */
  readonly stillSince: number;
  readonly last: Look | null;
}

export const asked = (now: number): Silence => ({ since: now, stillSince: now, last: null });

/**
 * Who is stopped does nothing; who waits is still if it has not worked since the last look, so not at
 * the first one. Without a look (no /proc) nobody is called still.
 */
export function looked(silence: Silence, look: Look | null, now: number): Silence {
  const { last } = silence;
  const idle = look?.letter === 'S' && look.cpuTicks === last?.cpuTicks;
  const still = isStopped(look) || idle;
  return { ...silence, stillSince: still ? silence.stillSince : now, last: look };
}

/** Why it should be ended now; null: wait. */
export function verdict(silence: Silence, now: number, othersSilent: boolean): string | null {
  const seconds = ((now - silence.since) / 1000).toFixed(1);
  const stopped = isStopped(silence.last);
  if (now - silence.stillSince >= WORKER_HUNG_MS && (stopped || !othersSilent)) {
    return `hung: no answer for ${seconds} s, ${stopped ? 'stopped' : 'and no work'}`;
  }
  if (now - silence.since >= WORKER_TURN_MS) return `busy: no answer for ${seconds} s`;
  return null;
}

function isStopped(look: Look | null): boolean {
  return look?.letter.toUpperCase() === 'T';
}

export interface Watched {
  readonly pid: number;
  /** It can be asked, and is expected to answer. */
  readonly answering: boolean;
  /** Null when everything was answered. */
  silence: Silence | null;
  ask(): void;
  end(why: string): void;
}

export class HangWatch {
  readonly #workers: () => readonly Watched[];
  #timer: NodeJS.Timeout;
  #dueAt = performance.now() + WORKER_ASKED_MS;

  constructor(workers: () => readonly Watched[]) {
    this.#workers = workers;
    this.#timer = setTimeout(() => this.#beat(), WORKER_ASKED_MS);
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #beat(): void {
    const now = performance.now();
    const late = now - this.#dueAt > 2 * WORKER_LOOK_MS;
    const workers = this.#workers().filter((worker) => worker.answering);
    const silent = workers.filter((worker) => worker.silence !== null);
    for (const worker of workers) {
      if (worker.silence === null) {
        worker.silence = asked(now);
        worker.ask();
        continue;
      }
      const before = late ? asked(now) : worker.silence;
      worker.silence = looked(before, lookAt(worker.pid), now);
      const why = verdict(worker.silence, now, silent.length > 1);
      if (why !== null) worker.end(why);
    }
    const pause = silent.length > 0 ? WORKER_LOOK_MS : WORKER_ASKED_MS;
    this.#dueAt = now + pause;
    this.#timer = setTimeout(() => this.#beat(), pause);
  }
}

/** Of a child that was not waited for yet, so that its pid is nobody else's. */
function lookAt(pid: number): Look | null {
  const fields = statFields(pid);
  // Fields 3, 14 and 15.
  return fields === null
    ? null
    : { letter: fields[0] ?? '', cpuTicks: Number(fields[11]) + Number(fields[12]) };
}
