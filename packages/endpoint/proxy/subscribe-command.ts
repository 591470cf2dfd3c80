/** SUBSCRIBE and its relatives, PUBLISH, PUBSUB. */

import { keySlot } from '../../resp/index.ts';
import { type Call, fail, type Handler, refuse } from './dispatch.ts';
import { keepBack } from './own-messages.ts';
import { Part } from './part.ts';
import { array, bulk, integer, nullReply } from './raw-reply.ts';
import { bytesOf, textOf } from './route.ts';
import { type Session, STALLED, TAKEN } from './session.ts';
import { isKeyspace, type Kind, SubscriberState } from './subscriptions.ts';

function nameOf(call: Call, index: number): string {
  return bytesOf(call.bytes, call.args, index).toString('latin1');
}

function confirmation(session: Session, word: string, name: string | null, count: number): Buffer {
  const { protocol } = session.state;
  const channel = name === null ? nullReply(protocol) : bulk(Buffer.from(name, 'latin1'));
  const kind = protocol === 3 ? '>' : '*';
  return array([bulk(word), channel, Buffer.from(`:${count}\r\n`)], kind);
}

/** In its turn, and also to somebody who wants no replies: the engine counts it as a message. */
function confirm(session: Session, bytes: Buffer): void {
  const place = session.order.place(null);
  place.muted = false;
  session.fill(place, bytes);
}

export const subscribe: Handler = (call) => {
  const { session, command, args } = call;
  const { state, proxy } = session;
  const kind = command.name as Kind;
  const names = Array.from({ length: args.count - 1 }, (_, i) => nameOf(call, i + 1));
  if (kind === 'ssubscribe' && proxy.world.topology.cluster) {
    const slots = new Set(names.map((name) => keySlot(Buffer.from(name, 'latin1'))));
    if (slots.size > 1) {
      return refuse(session, "-CROSSSLOT Keys in request don't hash to the same slot\r\n");
    }
  }
  state.subscriber ??= new SubscriberState(session);
  const { subscriber } = state;
  state.refresh();
  for (const name of names) {
    if (subscriber.names[kind].has(name)) {
      confirm(session, confirmation(session, kind, name, subscriber.count(kind)));
      continue;
    }
    if (subscriber.full) {
      session.reply('-ERR subscription-limit: too many channels of one client\r\n');
      continue;
    }
    subscriber.names[kind].add(name);
    const count = subscriber.count(kind);
    const place = session.order.place(command);
    const { muted } = place;
    place.muted = false;
    // What the client sends behind it must find it subscribed: a message of its own, a key it changes.
    session.gate(1);
    proxy.subscriptions.add(session, kind, name, (error) => {
      session.gate(-1);
      if (session.gone) {
        proxy.subscriptions.remove(session, kind, name);
        return;
      }
      if (error === null) {
        session.fill(place, confirmation(session, kind, name, count));
        return;
      }
      subscriber.names[kind].delete(name);
      leaveIfEmpty(session);
      const twin = state.login.twin;
      place.muted = muted;
      session.fill(
        place,
        Buffer.from(`-${error.replace(`User ${twin} `, `User ${state.user?.name ?? ''} `)}\r\n`),
      );
    });
  }
  return TAKEN;
};

export const unsubscribe: Handler = (call) => {
  const { session, command, args } = call;
  const { state } = session;
  if (session.order.head !== null) {
    session.stall('order');
    return STALLED;
  }
  const kind = command.name.replace('un', '') as Kind;
  const { subscriber } = state;
  const names =
    args.count > 1
      ? Array.from({ length: args.count - 1 }, (_, i) => nameOf(call, i + 1))
      : [...(subscriber?.names[kind] ?? [])];
  if (names.length === 0) {
    confirm(session, confirmation(session, command.name, null, subscriber?.count(kind) ?? 0));
  }
  for (const name of names) {
    if (subscriber?.names[kind].delete(name) === true) {
      session.proxy.subscriptions.remove(session, kind, name);
    }
    confirm(session, confirmation(session, command.name, name, subscriber?.count(kind) ?? 0));
  }
  leaveIfEmpty(session);
  return TAKEN;
};

function leaveIfEmpty(session: Session): void {
  const { state } = session;
  if (state.subscriber !== null && state.subscriber.total === 0) {
    state.subscriber = null;
    state.refresh();
  }
}

export interface Message {
  readonly channel: string;
  readonly sharded: boolean;
}

export const KEYSPACE =
  '-ERR keyspace-channel: only the engine publishes to __keyspace@ and __keyevent@ channels\r\n';

export function channelOf(call: Call): string {
  return nameOf(call, 1);
}

/** Clients that such a message reaches, in all workers. */
export async function receivers({ proxy }: Session, message: Message): Promise<number> {
  const { channel, sharded } = message;
  const own = proxy.subscriptions.receivers(channel, sharded);
  if (proxy.across.alone) return own;
  return own + (await proxy.across.sum({ kind: 'receivers', channel, sharded }));
}

export const publish: Handler = (call) => {
  const { session, command, bytes, start, end } = call;
  const { proxy } = session;
  const { topology } = proxy.world;
  const sharded = command.name === 'spublish';
  const channel = nameOf(call, 1);
  if (!sharded && isKeyspace(channel)) {
    return refuse(session, KEYSPACE);
  }
  const slot = sharded ? keySlot(Buffer.from(channel, 'latin1')) : -1;
  const shard = sharded && topology.cluster ? topology.ofSlot(slot) : topology.first();
  if (shard === null || session.overdue(shard)) return fail(session, shard);
  if (sharded && !proxy.shardedFirst.open(slot)) {
    proxy.shardedFirst.wait(session);
    return STALLED;
  }
  const lane = session.laneFor(shard, false);
  if (lane === null) return STALLED;
  const place = session.order.place(command);
  // Between the elements of an EXEC's answer no message comes anyway.
  const own = session.state.running === null ? [{ channel, sharded }] : [];
  const answered = keepBack(session, own);
  const fill = (reply: Buffer): void => {
    session.fill(place, reply);
    answered();
  };
  const whole = Buffer.from(bytes.subarray(start, end));
  const retrySlot = sharded ? slot : (shard.view.slots[0]?.[0] ?? 0);
  new Part(session, command, lane, retrySlot, whole, 1, (result) => {
    const reply = result.kind === 'replies' ? result.replies[0] : undefined;
    if (reply === undefined) {
      fill(
        Buffer.from(
          `-OUTCOMEUNKNOWN the connection to shard ${shard.id} was lost while '${command.name}' was in flight: the message may or may not have been sent\r\n`,
        ),
      );
    } else if (reply[0] !== 58) {
      fill(reply);
    } else {
      const own = proxy.subscriptions.receivers(channel, sharded);
      const said = (count: number): void => fill(Buffer.from(`:${count}\r\n`));
      // The engine counts each worker's upstream subscription. Are there others than ours, then
      // other workers have listeners, and they are asked how many.
      const others = integer(reply) - proxy.subscriptions.ownMatches(shard, channel, sharded);
      if (others <= 0 || proxy.across.alone) return said(own);
      void proxy.across
        .sum({ kind: 'receivers', channel, sharded })
        .then((count) => said(own + count));
    }
  });
  return TAKEN;
};

export const pubsub: Handler = (call) => {
  const { session, command, bytes, args } = call;
  const { across } = session.proxy;
  const sub = command.name.slice('pubsub|'.length);
  if (sub.endsWith('channels') && args.count > 3) {
    return refuse(
      session,
      `-ERR unknown subcommand or wrong number of arguments for '${textOf(bytes, args, 1)}'. Try PUBSUB HELP.\r\n`,
    );
  }
  const kind: Kind = sub.startsWith('shard') ? 'ssubscribe' : 'subscribe';
  const place = session.order.place(command);
  const fill = (reply: Buffer): void => session.fill(place, reply);
  if (sub === 'numpat') {
    void across
      .names('psubscribe', '*')
      .then((patterns) => fill(Buffer.from(`:${patterns.size}\r\n`)));
  } else if (sub.endsWith('numsub')) {
    const names = Array.from({ length: args.count - 2 }, (_, i) => nameOf(call, i + 2));
    void across.counts(kind, names).then((counts) => {
      const items = counts.flatMap((count, i) => [
        bulk(Buffer.from(names[i] ?? '', 'latin1')),
        Buffer.from(`:${count}\r\n`),
      ]);
      fill(array(items));
    });
  } else {
    const pattern = args.count > 2 ? textOf(bytes, args, 2) : '*';
    void across
      .names(kind, pattern)
      .then((names) => fill(array([...names].map((name) => bulk(Buffer.from(name, 'latin1'))))));
  }
  return TAKEN;
};
