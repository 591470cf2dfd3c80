/**
 * Reading a socket into a buffer that is there already.
 *
 * Node's streams give each read a buffer of its own: 64 KB are allocated, cut to what came, wrapped
 * in two objects and pushed through a queue. At a hundred thousand small requests a second that costs
 * more than the system call. Sockets that Node *connects* can be given a buffer instead (`onread`);
 * for sockets that were *accepted* there is no option, but the mechanism is the same: three fields,
 * named by symbols, and one call on the handle. The symbols are looked up once on a socket that was
 * made with the option. Should a later Node have none of this, chunks are copied into the buffer,
 * which is slower and behaves the same.
 *
 * One buffer may serve any number of sockets: what came is handed over before anything else is read.
 * So whoever gets it must copy what it wants to keep.
 */
import { Socket } from 'node:net';

interface Handle {
  useUserBuffer?(buffer: Uint8Array): void;
}

type Fields = Record<symbol, unknown> & { readonly _handle?: Handle | null };

const symbols = ((): {
  readonly buffer: symbol;
  readonly taker: symbol;
  readonly next: symbol;
} | null => {
  const made = new Socket({ onread: { buffer: Buffer.alloc(1), callback: () => true } });
  const named = (name: string): symbol | undefined =>
    Object.getOwnPropertySymbols(made).find((symbol) => symbol.description === name);
  const buffer = named('kBuffer');
  const taker = named('kBufferCb');
  const next = named('kBufferGen');
  return buffer === undefined || taker === undefined || next === undefined
    ? null
    : { buffer, taker, next };
})();

/**
 * From now on what comes is in `buffer`, from its start; `take` hears how much. What the stream has
 * read already comes first. `next`, asked after each read, may name another buffer to go on with.
 * The socket must be paused, and have no 'data' listener; the caller resumes it.
 */
export function readInto(
  socket: Socket,
  buffer: Buffer,
  take: (length: number) => void,
  next: (() => Buffer | undefined) | null = null,
): void {
  let current = buffer;
  const copied = (chunk: Buffer): void => {
    for (let at = 0; at < chunk.length; ) {
      const length = Math.min(current.length, chunk.length - at);
      chunk.copy(current, 0, at, at + length);
      at += length;
      take(length);
      current = next?.() ?? current;
    }
  };
  const fields = socket as unknown as Fields;
  const handle = fields._handle;
  if (symbols === null || handle?.useUserBuffer === undefined) {
    socket.on('data', copied);
    return;
  }
  if (socket.readableLength > 0) {
    // Before anything else is read, but not before the caller is ready for it. The stream is not asked
    // before that either: with the last of it it would say 'end', and that in the next tick.
    process.nextTick(() => {
      for (let chunk = read(socket); chunk !== null; chunk = read(socket)) copied(chunk);
    });
  }
  fields[symbols.buffer] = current;
  fields[symbols.taker] = take;
  if (next !== null) fields[symbols.next] = next;
  handle.useUserBuffer(current);
}

/** Whether this Node offers the short way; a test says that the one that is locked does. */
export const readsDirectly = symbols !== null;

function read(socket: Socket): Buffer | null {
  return socket.readableLength === 0 ? null : (socket.read() as Buffer | null);
}
