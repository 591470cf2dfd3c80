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
import type { LaneLogin } from './lane-login.ts';
import { SUBSCRIPTIONS } from './limits.ts';
import type { Message } from './overlap.ts';
import type { ProxyPath } from './proxy.ts';
import { bulk } from './raw-reply.ts';
import type { Session } from './session.ts';
import type { Shard } from './shard.ts';
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
  readonly #listeners: Readonly<Record<Kind, Map<string, Set<Session>>>> = {
    subscribe: new Map(),
    psubscribe: new Map(),
    ssubscribe: new Map(),
  };

  constructor(proxy: ProxyPath) {
    this.#proxy = proxy;
  }

  /** `confirmed` is called when the engine has it, or with the engine's error. */
  add(session: Session, kind: Kind, name: string, confirmed: (error: string | null) => void): void {
    const upstreams = this.#upstreamsFor(session.state.login, kind, name);
    let left = upstreams.length;
    let failed: string | null = left === 0 ? 'CLUSTERDOWN no shard to subscribe on' : null;
    const done = (error: string | null): void => {
      failed ??= error;
      if (--left > 0) return;
      if (failed === null && !session.gone) {
        const listeners = this.#listeners[kind].get(name);
        if (listeners === undefined) this.#listeners[kind].set(name, new Set([session]));
        else listeners.add(session);
      }
      confirmed(failed);
    };
    if (left === 0) confirmed(failed);
    for (const upstream of upstreams) upstream.want(kind, name, done);
  }

  remove(session: Session, kind: Kind, name: string): void {
    const listeners = this.#listeners[kind].get(name);
    listeners?.delete(session);
    if (listeners === undefined || listeners.size > 0) return;
    this.#listeners[kind].delete(name);
    for (const upstream of this.#upstreams.values()) upstream.drop(kind, name);
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
    const upstream = new Upstream(shard, login, (message) => this.#deliver(shard, login, message));
    this.#upstreams.set(key, upstream);
    return upstream;
  }

  #deliver(shard: Shard, login: LaneLogin, { kind, name, channel, payload }: Message): void {
    const first = this.#proxy.world.topology.first();
    if (kind !== 'ssubscribe' && shard !== first && !isKeyspace(channel)) return;
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
    for (const upstream of this.#upstreams.values()) upstream.follow();
    const { topology } = this.#proxy.world;
    for (const [name, sessions] of this.#listeners.ssubscribe) {
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

/**
 * The engine's glob: * ? [a-z] [^x] and backslash. Without recursion, and going back to the last star
 * only: patterns are clients' words, and one with many stars must not cost exponential time.
 */
export function globMatches(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let mark = 0;
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = ++p;
      mark = t;
      continue;
    }
    const next = p < pattern.length ? matchOne(pattern, p, text[t] ?? '') : -1;
    if (next > 0) {
      p = next;
      t++;
    } else if (star >= 0) {
      p = star;
      t = ++mark;
    } else return false;
  }
  while (pattern[p] === '*') p++;
  return p >= pattern.length;
}

/** Behind the element at `p` when it matches this character; else -1. */
function matchOne(pattern: string, p: number, character: string): number {
  const c = pattern[p];
  if (c === '[') {
    const end = pattern.indexOf(']', p + 2);
    const close = end < 0 ? pattern.length : end;
    return inClass(pattern.slice(p + 1, close), character) ? close + 1 : -1;
  }
  if (c === '\\' && p + 1 < pattern.length) return pattern[p + 1] === character ? p + 2 : -1;
  return c === '?' || c === character ? p + 1 : -1;
}

function inClass(members: string, character: string): boolean {
  const not = members.startsWith('^');
  const list = not ? members.slice(1) : members;
  let found = false;
  for (let i = 0; i < list.length; i++) {
    if (list[i + 1] === '-' && i + 2 < list.length) {
      const [low = '', high = ''] = [list[i], list[i + 2]].sort();
      if (character >= low && character <= high) found = true;
      i += 2;
    } else if (list[i] === character) found = true;
  }
  return found !== not;
}
