/**
 * Pipelining without being asked: what is written to a socket in one turn of the event loop goes out
 * in one write, capped in bytes and count.
 *
 * ioredis writes each command by itself (a system call each) unless its auto-pipelining is on, which
 * allocates a pipeline object and two promises a command and holds every reply of the batch until
 * its last one is there. Joining at the socket costs one string concatenation, and each reply is
 * resolved as it is parsed, because the client never learns of the batch.
 *
 * When to write: with nothing in flight the first command goes at once, so that a lone one loses
 * nothing, and what follows at the end of the running turn (`nextTick`), which gathers everything that
 * one chunk of replies sets free: all continuations run before it. With work in flight, a moment later
 * (`setImmediate`): then commands that several sockets' events cause in the same round travel together.
 */
import type { Socket } from 'node:net';
import { BATCH_BYTES_MAX, BATCH_COMMANDS_MAX } from '../limits.ts';

type Write = (chunk: string | Uint8Array) => boolean;

/**
 * Replaces `socket.write`. `busy` says whether commands are in flight on it. Answers what is to be called
 * when bytes have come.
 */
export function coalesceWrites(socket: Socket, busy: () => boolean): () => void {
  const write: Write = socket.write.bind(socket);
  let text = '';
  let parts: (string | Uint8Array)[] | undefined;
  let bytes = 0;
  let commands = 0;
  let scheduled = false;
  /** Nothing was written since the last bytes came: the next command may be the only one. */
  let armed = true;
  const flush = (): void => {
    scheduled = false;
    if (commands === 0) return;
    const last = text;
    const before = parts;
    text = '';
    parts = undefined;
    bytes = 0;
    commands = 0;
    if (socket.destroyed) return;
    if (before === undefined) {
      write(last);
      return;
    }
    socket.cork();
    for (const part of before) write(part);
    if (last !== '') write(last);
    socket.uncork();
  };

  const joined = (chunk: string | Uint8Array, encoding?: unknown, done?: unknown): boolean => {
    if (encoding !== undefined || done !== undefined || socket.connecting) {
      flush();
      return Reflect.apply(write, socket, [chunk, encoding, done]);
    }
    if (armed && commands === 0 && !busy()) {
      armed = false;
      return write(chunk);
    }
    if (typeof chunk === 'string') text += chunk;
    else {
      parts ??= [];
      if (text !== '') parts.push(text);
      text = '';
      parts.push(chunk);
    }
    bytes += chunk.length;
    commands += 1;
    if (bytes >= BATCH_BYTES_MAX || commands >= BATCH_COMMANDS_MAX) flush();
    else if (!scheduled) {
      scheduled = true;
      if (busy()) setImmediate(flush);
      else process.nextTick(flush);
    }
    return !socket.writableNeedDrain;
  };
  Object.defineProperty(socket, 'write', { value: joined, configurable: true, writable: true });
  // What was joined must still go out before the stream is ended (QUIT, then FIN).
  const end = socket.end.bind(socket);
  Object.defineProperty(socket, 'end', {
    configurable: true,
    writable: true,
    value: (...args: unknown[]) => {
      flush();
      return Reflect.apply(end, socket, args);
    },
  });
  return () => {
    armed = true;
  };
}
