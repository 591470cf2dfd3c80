/** A call's command in the library's own queue: when it is written, and how it leaves. */
import type { Sent } from '../wire/wire.ts';
import type { NodeLink } from './node-redis-link.ts';
import type { SignalLike } from './node-redis-shape.ts';

/**
 * For commands that go through the library's queue but belong to a call (cluster): to the library it
 * is the abort signal, and taking its listener off is the one thing it does as it writes a command.
 */
export class Watched implements SignalLike {
  readonly aborted = false;
  readonly sent: Sent;
  readonly #link: NodeLink;
  #drop: (() => void) | undefined;

  constructor(sent: Sent, link: NodeLink) {
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
  drop(): void {
    const drop = this.#drop;
    this.#drop = undefined;
    drop?.();
  }
}
