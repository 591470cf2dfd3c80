/**
 * Who is not needed yet gives way to who serves.
 *
 * Cores are divided among *sessions* first (the kernel's autogroups), and each engine is one. A new replica
 * starts, reads a whole copy and fills its memory as fast as a core goes, beside its primary. The priority of
 * a process that was lowered cannot be raised again without rights; the weight of a session can, up to what
 * it had: `/proc/<pid>/autogroup` takes a niceness from 0 up from its owner. So an engine is made light
 * while it fills, and full again before it may be needed.
 *
 * The file has two catches. Without rights there is one write in a tenth of a second on the whole machine,
 * whoever makes it; the others are refused (EAGAIN). So nobody waits for a write: it is tried again until it
 * is done or the process has ended, and giving back goes first, because an engine that is light too long may
 * serve, and one that is full too long only is as it was before. And where the kernel has no autogroups there
 * is no file: then nothing is done. (In a control group of its own for the CPU a process has no use of them
 * either; the file is there, and changes nothing.)
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { ProcessRef } from './contract.ts';
import { systemCode } from './errors.ts';
import { LIGHT_NICE, WEIGH_RETRY_MS } from './limits.ts';
import { readStat } from './procfs.ts';

export type Weight = 'light' | 'full';

const NICE: Readonly<Record<Weight, number>> = { light: LIGHT_NICE, full: 0 };

interface Session {
  readonly process: ProcessRef;
  /** Niceness that it has; null: it cannot be known, or be changed, and is left alone. */
  nice: number | null;
  wanted: Weight;
}

export class Weights {
  /** By pid. */
  readonly #sessions = new Map<number, Session>();
  #timer: NodeJS.Timeout | null = null;

  /** From now on; returns at once. Called again with the same it costs a look into a map. */
  set(process: ProcessRef, wanted: Weight): void {
    let session = this.#sessions.get(process.pid);
    if (session?.process.startTicks !== process.startTicks) {
      this.#forgetEnded();
      session = { process, nice: niceOf(process), wanted };
      this.#sessions.set(process.pid, session);
    }
    session.wanted = wanted;
    if (isDue(session)) this.#write();
  }

  #write(): void {
    const due = [...this.#sessions.values()].filter(isDue);
    const first = due.toSorted((a, b) => NICE[a.wanted] - NICE[b.wanted]);
    for (const session of first) if (write(session) === 'later') break;
    const more = first.some(isDue);
    if (more && this.#timer === null) {
      this.#timer = setInterval(() => this.#write(), WEIGH_RETRY_MS);
      this.#timer.unref();
    } else if (!more && this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
  }

  #forgetEnded(): void {
    for (const [pid, { process }] of this.#sessions) {
      if (!leadsSession(process)) this.#sessions.delete(pid);
    }
  }
}

const isDue = ({ nice, wanted }: Session): boolean => nice !== null && nice !== NICE[wanted];

function write(session: Session): 'done' | 'later' {
  const { process, wanted } = session;
  try {
    if (leadsSession(process)) writeFileSync(fileOf(process), String(NICE[wanted]));
    session.nice = NICE[wanted];
    return 'done';
  } catch (error) {
    if (systemCode(error) === 'EAGAIN') return 'later';
    // It has ended, or this system does not let us: it is as it was before there was this.
    session.nice = null;
    return 'done';
  }
}

/** Null: no such process, no such file, or a session that is not its own. */
function niceOf(process: ProcessRef): number | null {
  try {
    if (!leadsSession(process)) return null;
    const match = / nice (-?\d+)/.exec(readFileSync(fileOf(process), 'latin1'));
    return match === null ? null : Number(match[1]);
  } catch {
    return null;
  }
}

/** An engine that was started by hand is one of many in somebody's session. */
function leadsSession({ pid, startTicks }: ProcessRef): boolean {
  const stat = readStat(pid);
  return stat?.startTicks === startTicks && stat.session === pid;
}

const fileOf = ({ pid }: ProcessRef): string => `/proc/${pid}/autogroup`;
