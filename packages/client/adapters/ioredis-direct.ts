/**
 * Writing a command past the library's own `sendCommand`.
 *
 * For a command on one key, on a connection that is ready, all that the library's method does is to write it and
 * to note it in its queue; the rest is a microsecond of questions whose answers are known. That microsecond is
 * what the kit's own part takes, so it is left out. Whether it may be left out is not taken from a version
 * number: the first such command of each connection goes the library's way and is looked at. Only if what the
 * library did is exactly what would have been done here, the next ones go directly; a library that has
 * learned to do more is left to do it.
 *
 * What may change later is asked each time: somebody traces the commands, the connection subscribes.
 */
import { tracingChannel } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import type { Call } from '../lanes/call.ts';
import type { IoCommand, IoQueued, IoRedis } from './ioredis-shape.ts';

/** By which ioredis tells of each command, where it does. */
const traced = tracingChannel('ioredis:command');

export class DirectWay {
  readonly #redis: IoRedis;
  #open: 'unknown' | 'yes' | 'no' = 'unknown';

  constructor(redis: IoRedis) {
    this.#redis = redis;
    // Both are the library's business with each command.
    if (redis.options.socketTimeout !== undefined || process.env['DEBUG'] !== undefined) {
      this.#open = 'no';
    }
  }

  /** It is known to be right. */
  get open(): boolean {
    return this.#open === 'yes';
  }

  /** Nothing that the library would treat in any other way than to write it, with nobody who traces it. */
  suits(call: Call): boolean {
    return (
      this.#open !== 'no' &&
      call.place === 'data' &&
      call.facts.keys === 'one' &&
      call.name !== 'himport' &&
      !this.#redis.condition?.subscriber &&
      traced.hasSubscribers === false
    );
  }

  put(command: IoCommand, socket: Socket): void {
    const { condition, options, commandQueue } = this.#redis;
    command.setReplyContext?.(condition ?? options);
    socket.write(command.toWritable(socket));
    commandQueue.push({ command, stream: undefined, select: condition?.select ?? 0 });
  }

  /** The first command: by the library, looked at. */
  learn<T>(command: IoCommand, socket: Socket, send: () => T): T {
    const redis = this.#redis;
    const { write } = socket;
    const before = redis.commandQueue.length;
    const written: unknown[] = [];
    socket.write = (...args: unknown[]): boolean => {
      written.push(...args);
      return Reflect.apply(write, socket, args);
    };
    try {
      return send();
    } finally {
      socket.write = write;
      const same =
        written.length === 1 &&
        isSame(written[0], command.toWritable?.(socket)) &&
        redis.commandQueue.length === before + 1 &&
        isPlainItem(redis.commandQueue.peekBack(), command, redis.condition?.select ?? 0);
      this.#open = same ? 'yes' : 'no';
    }
  }
}

function isSame(written: unknown, expected: unknown): boolean {
  return written instanceof Uint8Array && expected instanceof Uint8Array
    ? Buffer.compare(written, expected) === 0
    : written === expected;
}

function isPlainItem(item: IoQueued | undefined, command: IoCommand, select: number): boolean {
  return (
    item !== undefined &&
    Object.keys(item).sort().join() === 'command,select,stream' &&
    item.command === command &&
    item.stream === undefined &&
    item.select === select
  );
}
