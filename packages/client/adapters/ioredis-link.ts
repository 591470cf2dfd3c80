/**
 * A wire on one ioredis (or iovalkey) connection.
 *
 * The library has one funnel, `sendCommand`, through which each command passes on its way to the
 * socket, and one queue of what is written and not answered. Both are instance members, so what the
 * kit needs is had by overriding them on the instance: no subclass, no patch of the library.
 *
 * It also takes two decisions away from the library, because they lose data silently: by default it
 * sends every unanswered command again after a reconnect (a second INCR), and a command's timeout
 * says nothing about why.
 *
 * When a connection ends, what the library has in its queues is lost, or was never sent. What was written and is in
 * none of them has its answer: the library's parser gives a reply out before its last byte (`+OK` at its CR, and ioredis
 * 6 a string before its CR LF), and a connection may end between the two. The wire, which waits for all of it, has not
 * told of it then; nobody else would, and the call would stand on its lane for ever.
 */
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { factsOf, firstKey, keyText, requestBytes } from '../commands/keys.ts';
import { Call } from '../lanes/call.ts';
import { asKnown } from '../lanes/unknown.ts';
import { KEEP_ALIVE_MS } from '../limits.ts';
import { coalesceWrites } from '../wire/coalesce.ts';
import { copyOf, readInto } from '../wire/intake.ts';
import { Pace } from '../wire/pace.ts';
import { notOurs, type Sent, Wire } from '../wire/wire.ts';
import { DirectWay } from './ioredis-direct.ts';
import {
  checkIoredis,
  type IoCommand,
  type IoQueue,
  type IoQueued,
  type IoRedis,
} from './ioredis-shape.ts';

/** The call that a command belongs to. */
export const kCall = Symbol('cinnabar.call');

export interface Tagged {
  [kCall]?: Call;
}

export interface LinkEvents {
  /** The connection is gone; called before `lost`, so that nothing is made again on it. */
  down(cause: Error): void;
  answered(call: Call, now: number): void;
  /** A reply of `largeBytes` or more. */
  large(sent: Sent, wire: Wire<Sent>): void;
  readonly largeBytes: number;
  /** The connection ended; `written` false: still in the library's own queue. */
  lost(call: Call, written: boolean, cause: Error): void;
  /** An error reply; true: taken care of. */
  refused(call: Call, error: Error): boolean;
  /**
   * The library would reject the call at once: the connection has just ended, and its event comes later.
   * Undefined: it deals with that itself (the nodes of a cluster client).
   */
  readonly untaken?: ((call: Call) => void) | undefined;
}

const listens = new Set(['subscribe', 'psubscribe', 'ssubscribe', 'monitor']);

/** Attaches to a client of one connection (never to a Cluster object). */
export function linkIoredis(redis: IoRedis, events: LinkEvents): Wire<Sent> {
  checkIoredis(redis);
  const { host, port, path } = redis.options;
  // After two hours, the system's own measure, nobody waits any more. What waits in BLPOP has nothing else.
  if (redis.options.keepAlive === 0) redis.options.keepAlive = KEEP_ALIVE_MS;
  const answered = (sent: Sent, now: number): void => {
    if (sent instanceof Call) events.answered(sent, now);
  };
  const wire = new Wire<Sent>(
    path ?? `${host ?? 'localhost'}:${port ?? 6379}`,
    { libraryFirst: true, answered, large: (sent) => events.large(sent, wire) },
    events.largeBytes,
  );

  let stream = redis.stream;
  const send = redis.sendCommand;
  const { untaken } = events;
  const direct = new DirectWay(redis);
  redis.sendCommand = function (this: IoRedis, command, over, node) {
    const call = (command as Tagged)[kCall];
    const socket =
      over === undefined && redis.status === 'ready' && stream?.writable === true
        ? stream
        : undefined;
    const short = socket !== undefined && call !== undefined && direct.suits(call);
    if (short && direct.open) {
      direct.put(command, socket);
      wire.sent(
        call,
        call.attempts === 1 && call.offlineMs === 0 ? call.queuedAt : performance.now(),
      );
      return command.promise;
    }
    if (call !== undefined && untaken !== undefined && !takes(redis)) {
      untaken(call);
      return command.promise;
    }
    const result = short
      ? direct.learn(command, socket, () => send.call(redis, command, over, node))
      : send.call(redis, command, over, node);
    const last = redis.commandQueue.peekBack();
    if (last !== undefined && last.command === command) {
      if (listens.has(command.name)) wire.listening = true;
      wire.sent(call ?? anonymous(command), performance.now());
    }
    return result;
  };

  const refuse = redis.handleReconnection;
  redis.handleReconnection = function (this: IoRedis, error, item) {
    const call = (item.command as Tagged)[kCall];
    if (call !== undefined && events.refused(call, error)) {
      wire.disown(call, anonymous(item.command));
      // A demoted primary stays one: its connection leads to the wrong server.
      if (error.message.startsWith('READONLY') && redis.status === 'ready') redis.disconnect(true);
      return;
    }
    if (call === undefined) return refuse.call(redis, error, item);
    const known = asKnown(error, call) as Error;
    call.failure = known;
    refuse.call(redis, known, item);
  };

  /**
   * `begun`: in the middle of a conversation, whose replies cannot be told apart; counting begins when
   * nothing of it is open. A new socket is counted from its first byte, whatever the library still keeps
   * in its queue: it may be the handshake of a connection that died in it, which nobody will answer.
   */
  const adopt = (socket: Socket, begun: boolean): void => {
    wire.reset();
    let quiet = !begun;
    // Before all listeners, the library's among them: some replies are not for it.
    const { emit } = socket;
    const pace = new Pace(socket);
    const came = coalesceWrites(socket, () => wire.pending > 0);
    // The library keeps pieces of what it is given, and gives them to the application.
    let owned = true;
    const forward = (piece: Buffer, lasting?: boolean): void =>
      void emit.call(socket, 'data', owned || lasting === true ? piece : copyOf(piece));
    const take = (chunk: Buffer): void => {
      came();
      if (quiet) {
        wire.received(chunk, forward);
        pace.came(chunk.length);
        return;
      }
      forward(chunk);
      quiet = redis.commandQueue.length === 0;
      if (quiet) for (const sent of wire.reset()) answered(sent, performance.now());
    };
    readInto(socket, take, () => {
      owned = false;
    });
    Object.defineProperty(socket, 'emit', {
      configurable: true,
      writable: true,
      // All of it for each reply: no list of arguments is made for one.
      value: function hear(event: string | symbol, chunk: unknown): boolean {
        // biome-ignore lint/complexity/noArguments: see above
        if (event !== 'data') return Reflect.apply(emit, socket, arguments);
        take(chunk as Buffer);
        return true;
      },
    });
    socket.prependListener('close', () => {
      if (redis.stream !== socket) return;
      const cause = new Error(`connection to ${wire.endpoint} closed`);
      const written = wire.reset();
      const unsent = takeCalls(
        redis.offlineQueue,
        () => redis.resetOfflineQueue(),
        () => redis.offlineQueue,
      );
      const lost = takeCalls(
        redis.commandQueue,
        () => redis.resetCommandQueue(),
        () => redis.commandQueue,
      );
      events.down(cause);
      const left = new Set<Sent>(lost);
      for (const sent of written) if (!left.has(sent)) answered(sent, performance.now());
      for (const call of lost) events.lost(call, true, cause);
      for (const call of unsent) events.lost(call, false, cause);
    });
  };
  Object.defineProperty(redis, 'stream', {
    configurable: true,
    enumerable: true,
    get: () => stream,
    set: (socket: Socket | undefined) => {
      stream = socket;
      if (socket !== undefined) adopt(socket, false);
    },
  });
  if (stream !== undefined) adopt(stream, redis.commandQueue.length > 0);
  return wire;
}

/** Puts a command on the connection, or into its own queue until there is one. */
function takes(redis: IoRedis): boolean {
  if (redis.status === 'end') return false;
  if (redis.options.enableOfflineQueue !== false) return true;
  return redis.status === 'ready' && redis.stream?.writable === true;
}

/** Takes the kit's calls out of a queue of the library; what is its own stays there. */
function takeCalls(queue: IoQueue, reset: () => void, fresh: () => IoQueue): Call[] {
  const calls: Call[] = [];
  const keep: IoQueued[] = [];
  for (let i = 0; i < queue.length; i += 1) {
    const item = queue.peekAt(i);
    if (item === undefined) continue;
    const call = (item.command as Tagged)[kCall];
    if (call === undefined) keep.push(item);
    else calls.push(call);
  }
  if (calls.length === 0) return calls;
  reset();
  const rest = fresh();
  for (const item of keep) rest.push(item);
  return calls;
}

function anonymous({ name, args }: IoCommand): Sent {
  const key = firstKey(factsOf(name), args, 0);
  return notOurs(name, key === undefined ? undefined : keyText(key), requestBytes(name, args, 0));
}
