/**
 * Who copies gives way to who serves.
 *
 * An engine forks to write a snapshot, to fill a replica and to send slots: the child works through all
 * of its data as fast as a core goes, beside its parent, whose pages are copied one by one meanwhile. The
 * kernel divides the cores among *sessions* first (its autogroups), and each engine is one: so the child's
 * part is taken from its parent's, nobody else's. On two busy cores a primary with 100 MB stood in the
 * queue for half of the first 90 ms of each copy, and its clients with it. The engine has no setting for
 * it, but anybody may lower the priority of his own processes; so for as long as a copy is due its primary's
 * children are looked for and made nicer. On a machine with cores to spare they are as quick as before.
 *
 * Only children: they end with their work, and nobody without rights can give a process its priority back.
 */
import { readFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import type { ProcessRef } from './contract.ts';
import { CHILD_NICE, EASE_POLL_MS } from './limits.ts';
import { refOf } from './procfs.ts';

const NICEST = 19;

export class Children {
  /** By pid of the parent: until when its children are looked for (performance.now). */
  readonly #parents = new Map<number, { readonly parent: ProcessRef; until: number }>();
  #timer: NodeJS.Timeout | null = null;

  /** From now on, for so long: children of this process that are there or come give way to it. */
  ease(parent: ProcessRef, forMs: number): void {
    const until = performance.now() + forMs;
    const known = this.#parents.get(parent.pid);
    if (known?.parent.startTicks === parent.startTicks) known.until = until;
    else this.#parents.set(parent.pid, { parent, until });
    if (this.#timer !== null) return;
    this.#timer = setInterval(() => this.#look(), EASE_POLL_MS);
    this.#timer.unref();
    this.#look();
  }

  #look(): void {
    const now = performance.now();
    for (const [pid, { parent, until }] of this.#parents) {
      if (now > until) this.#parents.delete(pid);
      else easeChildren(parent);
    }
    if (this.#parents.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}

function easeChildren(parent: ProcessRef): void {
  const pids = childrenOf(parent.pid);
  if (pids.length === 0 || refOf(parent.pid)?.startTicks !== parent.startTicks) return;
  try {
    const nice = Math.min(NICEST, getPriority(parent.pid) + CHILD_NICE);
    for (const pid of pids) if (getPriority(pid) < nice) setPriority(pid, nice);
  } catch {
    // It has ended: that is what a child is for.
  }
}

/** Of its main thread, which is the one that forks. None where the kernel was built without this list. */
function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1');
    return text.split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}
