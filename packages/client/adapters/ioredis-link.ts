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
 */
import { tracingChannel } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { factsOf, firstKey, keyText, requestBytes } from '../commands/keys.ts';
import { Call } from '../lanes/call.ts';
import { coalesceWrites } from '../wire/coalesce.ts';
import { Pace } from '../wire/pace.ts';
import { type Sent, Wire } from '../wire/wire.ts';
import type { IoCommand, IoQueue, IoQueued, IoRedis } from './ioredis-shape.ts';

/** The call that a command belongs to. */
export const kCall = Symbol('cinnabar.call');

export interface Tagged {
  [kCall]?: Call;
}

export interface LinkEvents {
  /** The connection is gone; called before `lost`, so that nothing is made again on it. */
  down(cause: Error): void;
  answered(call: Call, now: number): void;
  large(sent: Sent, wire: Wire<Sent>): void;
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

/** By which ioredis tells of each command, where it does. */
const traced = tracingChannel('ioredis:command');
const redirects = /^(?:MOVED|ASK) /;
const listens = new Set(['subscribe', 'psubscribe', 'ssubscribe', 'monitor']);

/** Attaches to a client of one connection (never to a Cluster object). */
export function linkIoredis(redis: IoRedis, events: LinkEvents): Wire<Sent> {
  const { host, port, path } = redis.options;
  const answered = (sent: Sent, now: number): void => {
    if (sent instanceof Call) events.answered(sent, now);
  };
  const wire = new Wire<Sent>(path ?? `${host ?? 'localhost'}:${port ?? 6379}`, {
    libraryFirst: true,
    answered,
    large: (sent) => events.large(sent, wire),
  });

  let stream = redis.stream;
  const send = redis.sendCommand;
  const { untaken } = events;
  const direct = redis.options.socketTimeout === undefined && process.env['DEBUG'] === undefined;
  redis.sendCommand = function (this: IoRedis, command, over, node) {
    if (direct && over === undefined && redis.status === 'ready' && stream?.writable === true) {
      const call = (command as Tagged)[kCall];
      if (call !== undefined && isPlain(call, redis)) {
        put(command, redis, stream);
        wire.sent(
          call,
          call.attempts === 1 && call.offlineMs === 0 ? call.queuedAt : performance.now(),
        );
        return command.promise;
      }
    }
    if (untaken !== undefined && !takes(redis)) {
      const call = (command as Tagged)[kCall];
      if (call !== undefined) {
        untaken(call);
        return command.promise;
      }
    }
    const result = send.call(redis, command, over, node);
    const last = redis.commandQueue.peekBack();
    if (last !== undefined && last.command === command) {
      if (listens.has(command.name)) wire.listening = true;
      wire.sent((command as Tagged)[kCall] ?? anonymous(command), performance.now());
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
    if (call !== undefined && redirects.test(error.message)) {
      // A cluster client sends it again elsewhere: this reply is not the call's, and its end is its promise's.
      wire.disown(call, anonymous(item.command));
      const over = (): void => events.answered(call, performance.now());
      item.command.promise.then(over, over);
    }
    refuse.call(redis, error, item);
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
    const forward = (piece: Buffer): void => void emit.call(socket, 'data', piece);
    Object.defineProperty(socket, 'emit', {
      configurable: true,
      writable: true,
      // All of it for each reply: no list of arguments is made for one.
      value: function hear(event: string | symbol, chunk: unknown): boolean {
        // biome-ignore lint/complexity/noArguments: see above
        if (event !== 'data') return Reflect.apply(emit, socket, arguments);
        came();
        if (quiet) {
          wire.received(chunk as Buffer, forward);
          pace.came((chunk as Buffer).length);
          return true;
        }
        const heard = emit.call(socket, 'data', chunk);
        quiet = redis.commandQueue.length === 0;
        if (quiet) for (const sent of wire.reset()) answered(sent, performance.now());
        return heard;
      },
    });
    socket.prependListener('close', () => {
      if (redis.stream !== socket) return;
      const cause = new Error(`connection to ${wire.endpoint} closed`);
      wire.reset();
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

/** Nothing that the library would treat in any other way than to write it, with nobody who traces it. */
function isPlain(call: Call, redis: IoRedis): boolean {
  return (
    call.place === 'data' &&
    call.facts.keys === 'one' &&
    call.name !== 'himport' &&
    !redis.condition?.subscriber &&
    traced.hasSubscribers === false
  );
}

/**
 * What the library's sendCommand() comes to for such a command on a connection that is ready: a microsecond
 * of questions less, which is what the kit's own part takes.
 */
function put(command: IoCommand, redis: IoRedis, socket: Socket): void {
  const { condition } = redis;
  command.setReplyContext?.(condition ?? redis.options);
  socket.write(command.toWritable(socket));
  redis.commandQueue.push({ command, stream: undefined, select: condition?.select ?? 0 });
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

/** A command that did not come through the kit: the library's handshake, a pipeline's, a duplicate. */
function anonymous(command: IoCommand): Sent {
  const facts = factsOf(command.name);
  const key = firstKey(facts, command.args, 0);
  return {
    name: command.name,
    key: key === undefined ? undefined : keyText(key),
    bytesOut: requestBytes(command.args, 0),
    queuedAt: performance.now(),
    writtenAt: 0,
    headAt: 0,
    firstByteAt: 0,
    bytesIn: 0,
    announced: 0,
  };
}
