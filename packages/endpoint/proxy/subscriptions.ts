/**
 * Publish and subscribe: one upstream subscription per distinct channel, user and worker, fanned out
 * here. A thousand listeners of one channel cost the engine one.
 *
 * Where it is subscribed (engine rule 19): an ordinary channel or pattern on the first shard, since
 * PUBLISH reaches every node over the cluster bus; twice would mean twice delivered. Keyspace events
 * exist only on the node of the key, so what can match them is subscribed on every primary, and from
 * the others only such events are passed on. A sharded channel on the owner of its slot.
 */
import { keySlot } from '../../resp/index.ts';
import { globMatches } from './glob.ts';
import type { LaneLogin } from './lane-login.ts';
import { SHARD_WAIT_MS, SLOT_MAP_RETRY_MS, SUBSCRIPTIONS } from './limits.ts';
import { ownEvent } from './moved-keys.ts';
import type { Message } from './overlap.ts';
import type { ProxyPath } from './proxy.ts';
import { array, bulk } from './raw-reply.ts';
import type { Session } from './session.ts';
import type { Shard } from './shard.ts';
import { REMOVED } from './topology.ts';
import { Upstream } from './upstream.ts';

export type Kind = 'subscribe' | 'psubscribe' | 'ssubscribe';

export const KINDS: readonly Kind[] = ['subscribe', 'psubscribe', 'ssubscribe'];

/** What one session listens to. Names are latin1 text, which holds any bytes. */
export class SubscriberState {
  readonly names: Readonly<Record<Kind, Set<string>>> = {
    subscribe: new Set(),
    psubscribe: new Set(),
    ssubscribe: new Set(),
  };
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  counts(): { channels: number; patterns: number; shard: number } {
    return {
      channels: this.names.subscribe.size,
      patterns: this.names.psubscribe.size,
      shard: this.names.ssubscribe.size,
    };
  }

  /** The number that the engine's confirmations carry. */
  count(kind: Kind): number {
    const { channels, patterns, shard } = this.counts();
    return kind === 'ssubscribe' ? shard : channels + patterns;
  }

  get total(): number {
    const { channels, patterns, shard } = this.counts();
    return channels + patterns + shard;
  }

  get full(): boolean {
    return this.total >= SUBSCRIPTIONS;
  }

  /** Its channel is another node's now: an engine says so to whoever listened, and ends it. */
  ended(name: string): void {
    const session = this.#session;
    const { state, proxy } = session;
    if (!this.names.ssubscribe.delete(name)) return;
    proxy.subscriptions.remove(session, 'ssubscribe', name);
    const words = [
      bulk('sunsubscribe'),
      latin(name),
      Buffer.from(`:${this.count('ssubscribe')}\r\n`),
    ];
    session.message(array(words, state.protocol === 3 ? '>' : '*'));
    if (this.total > 0) return;
    state.subscriber = null;
    state.refresh();
  }

  leave(): void {
    const { subscriptions } = this.#session.proxy;
    for (const kind of KINDS) {
      for (const name of this.names[kind]) subscriptions.remove(this.#session, kind, name);
      this.names[kind].clear();
    }
  }
}

export class Subscriptions {
  readonly #proxy: ProxyPath;
  readonly #upstreams = new Map<string, Upstream>();
  /** Asked for and not confirmed yet, by kind and name: how often. */
  readonly #coming = new Map<string, number>();
  /** Sharded channels that somebody listens to, by slot. */
  readonly #slots = new Map<number, number>();
  readonly #listeners: Readonly<Record<Kind, Map<string, Set<Session>>>> = {
    subscribe: new Map(),
    psubscribe: new Map(),
    ssubscribe: new Map(),
  };

  constructor(proxy: ProxyPath) {
    this.#proxy = proxy;
  }

  /**
   * `confirmed` is called once: when the engine has it, or with the error for the client. Where the engine
   * says that another has it now, or nobody yet, it is asked for again within the usual bounds.
   */
  add(session: Session, kind: Kind, name: string, confirmed: (error: string | null) => void): void {
    const key = `${kind} ${name}`;
    this.#coming.set(key, (this.#coming.get(key) ?? 0) + 1);
    let trouble = 'shard-down';
    let over = false;
    const end = (error: string | null): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      const left = (this.#coming.get(key) ?? 1) - 1;
      if (left > 0) this.#coming.set(key, left);
      else this.#coming.delete(key);
      if (error === null && !session.gone) this.#listen(session, kind, name);
      else this.#dropUnheard(kind, name);
      confirmed(error);
    };
    const late = (): void => end(`CLUSTERDOWN ${trouble}: not subscribed within ${WAIT_S} s`);
    const timer = setTimeout(late, SHARD_WAIT_MS);
    const ask = (): void => {
      if (over || session.gone) return end(null);
      const moved = kind === 'ssubscribe' ? this.#movedFrom(name) : null;
      if (moved !== null) return end(moved);
      const upstreams = this.#upstreamsFor(session.state.login, kind, name);
      let left = upstreams.length;
      if (left === 0) return end('CLUSTERDOWN no shard to subscribe on');
      let failed: string | null = null;
      const done = (error: string | null): void => {
        failed ??= error;
        if (--left > 0) return;
        if (failed === null || !NOT_HERE.test(failed)) return end(failed);
        trouble = failed.slice(0, failed.indexOf(' '));
        setTimeout(ask, SLOT_MAP_RETRY_MS);
      };
      for (const upstream of upstreams) upstream.want(kind, name, done);
    };
    ask();
  }

  #listen(session: Session, kind: Kind, name: string): void {
    const listeners = this.#listeners[kind].get(name);
    if (listeners !== undefined) {
      listeners.add(session);
      return;
    }
    this.#listeners[kind].set(name, new Set([session]));
    if (kind === 'ssubscribe') this.#inSlot(slotOfName(name), 1);
  }

  remove(session: Session, kind: Kind, name: string): void {
    const listeners = this.#listeners[kind].get(name);
    listeners?.delete(session);
    if (listeners?.size === 0) {
      this.#listeners[kind].delete(name);
      if (kind === 'ssubscribe') this.#inSlot(slotOfName(name), -1);
    }
    this.#dropUnheard(kind, name);
  }

  /** Nobody listens to it, nor is about to. */
  #dropUnheard(kind: Kind, name: string): void {
    if (this.#listeners[kind].has(name) || this.#coming.has(`${kind} ${name}`)) return;
    for (const upstream of this.#upstreams.values()) upstream.drop(kind, name);
  }

  #inSlot(slot: number, change: 1 | -1): void {
    const count = (this.#slots.get(slot) ?? 0) + change;
    if (count > 0) this.#slots.set(slot, count);
    else this.#slots.delete(slot);
  }

  /** Somebody listens to a sharded channel of this slot. */
  listensIn(slot: number): boolean {
    return this.#slots.has(slot);
  }

  /**
   * Resolves when all who listen in this slot do so at its owner and have been passed what others had
   * brought before, or that takes too long.
   */
  async heard(slot: number, withinMs: number): Promise<void> {
    const owner = this.#proxy.world.topology.ofSlot(slot);
    if (owner === null || !this.listensIn(slot)) return;
    const others = [...this.#upstreams.values()].filter(({ shard }) => shard !== owner);
    const passed = others.map((each) => new Promise<void>((done) => each.whenPassed(done)));
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, withinMs);
    await Promise.race([late, Promise.all([this.follow(owner, withinMs), ...passed])]);
    clearTimeout(timer);
  }

  /** It has not what it is believed to have: the engine is asked who does. */
  lookFor(slot: number): void {
    const { topology } = this.#proxy.world;
    const owner = topology.ofSlot(slot);
    const [upstream] = [...this.#upstreams.values()].filter(({ shard }) => shard === owner);
    if (upstream !== undefined) this.#askSlots(upstream.shard, upstream.login);
  }

  #askSlots(shard: Shard, login: LaneLogin): void {
    const lane = shard.smallLane(shard.group({ ...login, protocol: 2 }));
    if (lane !== null) this.#proxy.world.topology.askSlots(lane);
  }

  /** Behind the address of one shard: the error that leads to the one that has this channel. */
  #movedFrom(name: string): string | null {
    return this.#proxy.world.topology.moved(slotOfName(name))?.slice(1, -2) ?? null;
  }

  #upstreamsFor(login: LaneLogin, kind: Kind, name: string): Upstream[] {
    const { topology } = this.#proxy.world;
    let shards: readonly (Shard | null)[];
    if (kind === 'ssubscribe') {
      shards = [topology.cluster ? topology.ofSlot(slotOfName(name)) : topology.first()];
    } else if (maySeeKeyspace(kind, name)) shards = topology.serving;
    else shards = [topology.first()];
    return shards.flatMap((shard) => (shard === null ? [] : [this.#upstream(login, shard)]));
  }

  #upstream(login: LaneLogin, shard: Shard): Upstream {
    const key = keyOf(login, shard);
    const known = this.#upstreams.get(key);
    if (known !== undefined) return known;
    const upstream = new Upstream(
      shard,
      login,
      (message) => this.#deliver(upstream, message),
      () => this.#askSlots(shard, upstream.login),
    );
    this.#upstreams.set(key, upstream);
    return upstream;
  }

  #deliver({ shard, login, passed }: Upstream, message: Message): void {
    const { kind, name, channel, payload } = message;
    if (kind !== 'ssubscribe') {
      const first = this.#proxy.world.topology.first();
      if (isKeyspace(channel) ? !ownEvent(shard, message, passed) : shard !== first) return;
    }
    const listeners = this.#listeners[kind].get(name);
    if (listeners === undefined) return;
    const words =
      kind === 'psubscribe'
        ? [bulk('pmessage'), latin(name), latin(channel), bulk(payload)]
        : [bulk(kind === 'subscribe' ? 'message' : 'smessage'), latin(name), bulk(payload)];
    const body = Buffer.concat(words);
    const resp2 = Buffer.concat([Buffer.from(`*${words.length}\r\n`), body]);
    const resp3 = Buffer.concat([Buffer.from(`>${words.length}\r\n`), body]);
    for (const session of listeners) {
      // Each user hears over its own upstream, which the engine checks.
      if (session.state.login.twin !== login.twin) continue;
      session.message(session.state.protocol === 3 ? resp3 : resp2);
    }
  }

  /** Sessions of this worker that a message on this channel reaches; a session counts once for each match. */
  receivers(channel: string, sharded: boolean): number {
    if (sharded) return this.#listeners.ssubscribe.get(channel)?.size ?? 0;
    let count = this.#listeners.subscribe.get(channel)?.size ?? 0;
    for (const [pattern, sessions] of this.#listeners.psubscribe) {
      if (globMatches(pattern, channel)) count += sessions.size;
    }
    return count;
  }

  /** Matches of our own upstreams on this shard: what its PUBLISH counts of us. */
  ownMatches(shard: Shard, channel: string, sharded: boolean): number {
    let count = 0;
    for (const upstream of this.#upstreams.values()) {
      if (upstream.shard !== shard) continue;
      for (const [kind, name] of upstream.active()) {
        if (kind === 'ssubscribe' ? sharded && name === channel : !sharded) {
          if (
            kind === 'ssubscribe' ||
            (kind === 'subscribe' ? name === channel : globMatches(name, channel))
          )
            count++;
        }
      }
    }
    return count;
  }

  /** Calls back when all that this shard has published for the session so far was passed on to it. */
  passed({ state }: Session, shard: Shard, done: () => void): void {
    const upstream = this.#upstreams.get(keyOf(state.login, shard));
    if (upstream === undefined) done();
    else upstream.whenPassed(done);
  }

  names(kind: Kind): ReadonlyMap<string, ReadonlySet<Session>> {
    return this.#listeners[kind];
  }

  /** Slots or primaries changed: what is listened to elsewhere now is subscribed there first. */
  topologyChanged(): void {
    for (const [key, upstream] of this.#upstreams) {
      if (upstream.shard.view.reason === REMOVED) {
        this.#upstreams.delete(key);
        upstream.close();
      } else upstream.follow();
    }
    const { topology } = this.#proxy.world;
    const { version } = topology;
    for (const upstream of this.#upstreams.values()) {
      if (upstream.passed >= version) continue;
      upstream.whenPassed(() => {
        upstream.passed = Math.max(upstream.passed, version);
      });
    }
    for (const [name, sessions] of this.#listeners.ssubscribe) {
      if (this.#movedFrom(name) !== null) {
        for (const session of [...sessions]) session.state.subscriber?.ended(name);
        continue;
      }
      const owner = topology.ofSlot(slotOfName(name));
      for (const session of sessions) {
        if (owner !== null)
          this.#upstream(session.state.login, owner).want('ssubscribe', name, ignore);
      }
      for (const upstream of this.#upstreams.values()) {
        if (topology.cluster && upstream.shard !== owner) upstream.drop('ssubscribe', name);
      }
    }
    for (const kind of ['subscribe', 'psubscribe'] as const) {
      for (const [name, sessions] of this.#listeners[kind]) {
        for (const session of sessions) {
          for (const upstream of this.#upstreamsFor(session.state.login, kind, name)) {
            upstream.want(kind, name, ignore);
          }
        }
      }
    }
  }

  /** This shard may have another primary. Resolves when all is subscribed there, or that takes too long. */
  async follow(shard: Shard, withinMs: number): Promise<void> {
    const upstreams = [...this.#upstreams.values()].filter((each) => each.shard === shard);
    for (const upstream of upstreams) upstream.follow();
    await Promise.all(
      upstreams.map((each) => new Promise<void>((done) => each.whenSettled(withinMs, done))),
    );
  }

  close(): void {
    for (const upstream of this.#upstreams.values()) upstream.close();
    this.#upstreams.clear();
  }
}

function ignore(): void {}

/** The engine has not subscribed, and another, or the same one later, will. */
const NOT_HERE = /^(MOVED|CLUSTERDOWN|LOADING|MASTERDOWN) /;
const WAIT_S = SHARD_WAIT_MS / 1000;

function keyOf({ twin }: LaneLogin, { index }: Shard): string {
  return `${index} ${twin}`;
}

function latin(text: string): Buffer {
  return bulk(Buffer.from(text, 'latin1'));
}

function slotOfName(name: string): number {
  return keySlot(Buffer.from(name, 'latin1'));
}

const KEYSPACE = ['__keyspace@', '__keyevent@'];

export function isKeyspace(channel: string): boolean {
  return KEYSPACE.some((prefix) => channel.startsWith(prefix));
}

function maySeeKeyspace(kind: Kind, name: string): boolean {
  if (kind === 'subscribe') return isKeyspace(name);
  const plain = /^[^*?[\\]*/.exec(name)?.[0] ?? '';
  return KEYSPACE.some((prefix) => prefix.startsWith(plain) || plain.startsWith(prefix));
}
