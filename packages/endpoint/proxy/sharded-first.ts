/**
 * Nobody publishes to a sharded channel at the new owner of its slot before who listens is subscribed there.
 *
 * An engine gives such a message to those who are subscribed at itself, and to nobody else. When a slot
 * changes hands, its former owner refuses publishers and ends subscriptions in the same moment. Who publishes
 * is sent on within a millisecond; who listens has to find out where to, connect and subscribe. So the first
 * message in a slot that has changed hands waits until those who listen behind this path are subscribed at the
 * owner, and those of the other paths, which are asked: the same word to the other workers as after a
 * planned switch (listeners-first.ts), for one slot. Who does not answer is not waited for longer than
 * LISTENERS_FIRST_MS. A script or transaction with a key in the slot waits likewise, if it may publish: which
 * channel it takes is not known before it runs. What one without a key publishes, or to a channel of another
 * slot, does not wait.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from '../../resp/table/index.ts';
import { LISTENERS_FIRST_MS, LOOKED_THROUGH_BYTES, SLOT_MAP_RETRY_MS } from './limits.ts';
import type { ProxyPath } from './proxy.ts';
import type { Session } from './session.ts';

export class ShardedFirst {
  readonly #proxy: ProxyPath;
  /** By slot: the version of the map since which who listens is known to be there. */
  readonly #heard = new Map<number, number>();
  readonly #asking = new Set<number>();
  readonly #waiting = new Set<Session>();

  constructor(proxy: ProxyPath) {
    this.#proxy = proxy;
  }

  /** Of what may carry a message: for most slots at most times nothing is looked at. */
  openTo(command: Command, bytes: Buffer, slot: number): boolean {
    return this.#isOpen(slot) || !mayPublish(command, bytes) || this.open(slot);
  }

  /** A message in this slot may go out; if not, it will be so soon, and `retries` and who waits are told. */
  open(slot: number): boolean {
    if (this.#isOpen(slot)) return true;
    const version = this.#proxy.world.topology.changedAt[slot] ?? 0;
    if (!this.#asking.has(slot)) {
      this.#asking.add(slot);
      void this.#gather(slot).then(() => this.#gathered(slot, version));
    }
    return false;
  }

  #isOpen(slot: number): boolean {
    const { topology } = this.#proxy.world;
    const version = topology.changedAt[slot] ?? 0;
    return !topology.cluster || version <= FIRST_MAP || (this.#heard.get(slot) ?? 0) >= version;
  }

  /** Woken when one more slot is open. */
  wait(session: Session): void {
    this.#waiting.add(session);
    session.stall('listeners-first');
  }

  async #gather(slot: number): Promise<void> {
    const { subscriptions, across, world } = this.#proxy;
    const node = world.topology.ofSlot(slot)?.view.primary?.node;
    const own = subscriptions.heard(slot, LISTENERS_FIRST_MS);
    if (!across.single && node !== undefined) await across.ask({ kind: 'hears', slot, node });
    await own;
  }

  #gathered(slot: number, version: number): void {
    const { world } = this.#proxy;
    this.#asking.delete(slot);
    this.#heard.set(slot, version);
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const session of waiting) world.wake(session);
    world.retries.run();
  }

  /** Another path is about to publish in this slot, which this node owns now. */
  async answer(slot: number, node: string): Promise<number> {
    const { subscriptions, world } = this.#proxy;
    const until = performance.now() + LISTENERS_FIRST_MS;
    while (subscriptions.listensIn(slot)) {
      const owner = world.topology.ofSlot(slot);
      if (owner?.view.primary?.node === node) {
        await subscriptions.heard(slot, LISTENERS_FIRST_MS);
        return 1;
      }
      // Behind the address of one shard whoever listens is sent to the next owner.
      if (owner === null || performance.now() > until) return 0;
      subscriptions.lookFor(slot);
      await sleep(SLOT_MAP_RETRY_MS);
    }
    return 1;
  }
}

/** `bytes`: the command, or the commands of a transaction. What functions and loaded scripts do is not looked up. */
function mayPublish({ name, fate }: Command, bytes: Buffer): boolean {
  if (name === 'spublish') return true;
  // An engine refuses to publish in one that only reads.
  if ((fate.kind !== 'script' || name.endsWith('_ro')) && name !== 'exec') return false;
  if (bytes.length > LOOKED_THROUGH_BYTES) return true;
  return /spublish|evalsha|fcall/i.test(bytes.toString('latin1'));
}

/** Of the version that names owners for the first time: until then nobody could subscribe. */
const FIRST_MAP = 1;
