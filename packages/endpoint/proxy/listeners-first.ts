/**
 * Nobody publishes on a new primary before everybody who listens is subscribed there.
 *
 * A subscriber hears a message of its own primary at once, and one of another engine only when the
 * cluster's bus brings it: up to 40 ms later, because engines leave it to the kernel when their small
 * messages go out. So a message that a new primary got before we listen to it is heard from the old one,
 * behind those that came after; and a sharded one may not be heard at all, because an engine that loses
 * its slots ends the sharded subscriptions to them. To sort them afterwards does not help against that,
 * and messages that would have to wait for the bus would make every switch longer for who listens.
 *
 * After a planned switch clients are held in any case until their worker is told that it is over. There
 * it subscribes first; and as a client of one worker publishes to listeners of another, and behind the
 * address of one shard to those at the common one, each path asks all others, and is answered when
 * they know the new primary and are subscribed as well. They do it at the same time, so that what is
 * waited for is the slowest, and one word to it and back. Who does not answer is not waited for longer
 * than LISTENERS_FIRST_MS; its listeners may hear some messages late then, or miss sharded ones.
 *
 * After a crash nobody is asked: what was published meanwhile is lost in any case, and time counts.
 */
import { SWITCHING } from '../control-protocol.ts';
import { LISTENERS_FIRST_MS, SUBSCRIBE_FIRST_MS } from './limits.ts';
import type { ProxyPath } from './proxy.ts';
import type { Shard } from './shard.ts';

interface Asked {
  readonly shard: string;
  readonly node: string;
  readonly answer: () => void;
}

export class ListenersFirst {
  readonly #proxy: ProxyPath;
  /** By others, about a primary that this path has not heard of. */
  readonly #asked = new Set<Asked>();

  constructor(proxy: ProxyPath) {
    this.#proxy = proxy;
  }

  /** This shard is held and may have another primary. Resolves when its clients may go on. */
  async subscribed(shard: Shard): Promise<void> {
    const { subscriptions, across } = this.#proxy;
    const { state, reason, primary } = shard.view;
    if (state !== 'held' || reason !== SWITCHING || primary === null) {
      return subscriptions.follow(shard, SUBSCRIBE_FIRST_MS);
    }
    this.changed();
    const own = subscriptions.follow(shard, LISTENERS_FIRST_MS);
    if (!across.single) await across.ask({ kind: 'listens', shard: shard.id, node: primary.node });
    await own;
  }

  /** Another path wants its clients to go on at this primary. */
  async answer(shard: string, node: string): Promise<number> {
    const found = this.#find(shard);
    if (found === undefined) return 0;
    if (found.view.primary?.node !== node && !(await this.#told(shard, node))) return 0;
    await this.#proxy.subscriptions.follow(found, LISTENERS_FIRST_MS);
    return 1;
  }

  /** Primaries may be others now. */
  changed(): void {
    for (const asked of this.#asked) {
      if (this.#find(asked.shard)?.view.primary?.node === asked.node) asked.answer();
    }
  }

  #find(id: string): Shard | undefined {
    return this.#proxy.world.topology.shards.find((shard) => shard.id === id);
  }

  #told(shard: string, node: string): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (known: boolean): void => {
        clearTimeout(timer);
        this.#asked.delete(asked);
        resolve(known);
      };
      const timer = setTimeout(end, LISTENERS_FIRST_MS, false);
      const asked: Asked = { shard, node, answer: () => end(true) };
      this.#asked.add(asked);
    });
  }
}
