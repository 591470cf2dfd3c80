/** A call's command in the library's own queue: when it is written, and how it leaves. */
import type { Sent } from '../wire/wire.ts';
import type { NodeLink } from './node-redis-link.ts';
import type { CommandOptions, SignalLike } from './node-redis-shape.ts';

/**
 * For commands that go through the library's queue but belong to a call (cluster): to the library it
 * is the abort signal, and taking its listener off is the one thing it does as it writes a command.
 */
export class Watched<S extends Sent | undefined = Sent> implements SignalLike {
  /** Dropped before the library had it, which takes it no more. */
  aborted = false;
  readonly sent: S;
  readonly #link: NodeLink;
  #drop: (() => void) | undefined;

  constructor(sent: S, link: NodeLink) {
    this.sent = sent;
    this.#link = link;
  }

  addEventListener(_type: string, listener: () => void): void {
    this.#drop = listener;
  }

  removeEventListener(): void {
    this.#drop = undefined;
    this.#link.leaving = this.sent;
  }

  /** Takes the command out of the library's queue if it is still in it. */
  drop(): boolean {
    const drop = this.#drop;
    this.#drop = undefined;
    this.aborted = true;
    drop?.();
    return drop !== undefined;
  }
}

interface Run {
  readonly parts: Watched<Sent | undefined>[];
  /** What its commands are, in their order. Those of whom nobody has said it are for this connection only. */
  readonly sents: readonly Sent[] | undefined;
  cause: unknown;
  dropped: boolean;
}

/**
 * Runs whose commands are in the library's own queue. Some are for the present connection only, and taken out when it
 * ends; others (a cluster client's, as its calls) go to the next one in their place.
 */
export class Bound {
  readonly #runs = new Set<Run>();
  readonly #link: NodeLink;
  #collecting: Run | undefined;

  constructor(link: NodeLink) {
    this.#link = link;
  }

  /** `dropped`: its outcome, if the connection ended before all of it was written. */
  async run(
    begin: () => Promise<unknown>,
    dropped: (cause: unknown) => Promise<unknown>,
    sents?: readonly Sent[],
  ): Promise<unknown> {
    const run: Run = { parts: [], sents, cause: undefined, dropped: false };
    this.#runs.add(run);
    this.#collecting = run;
    try {
      const outcome = begin();
      this.#collecting = undefined;
      return await outcome;
    } catch (error) {
      if (!run.dropped) throw error;
      return dropped(run.cause);
    } finally {
      this.#collecting = undefined;
      this.#runs.delete(run);
    }
  }

  /** For a command that is put into the queue now. */
  options(options: CommandOptions | undefined): CommandOptions | undefined {
    const run = this.#collecting;
    if (run === undefined) return options;
    const part = new Watched(run.sents?.[run.parts.length], this.#link);
    run.parts.push(part);
    return { ...options, abortSignal: part };
  }

  /** None of these is written, and nobody waits for them any more. */
  unsend(sents: readonly Sent[]): void {
    for (const run of this.#runs)
      if (run.sents === sents) for (const part of run.parts) part.drop();
  }

  /** How many commands were taken out. */
  drop(cause: unknown): number {
    let count = 0;
    for (const run of this.#runs) {
      if (run.sents !== undefined) continue;
      for (const part of run.parts) {
        if (!part.drop()) continue;
        count += 1;
        run.dropped = true;
        run.cause = cause;
      }
    }
    return count;
  }
}
