/**
 * What a socket brings, without a buffer for each read.
 *
 * For each read Node sets 64 KB aside, cuts them down to what came, and hands them through its stream to a
 * listener; a large value is some hundred and sixty such buffers, which the collector of garbage pays for
 * again. Sockets can instead read into one buffer of their maker's (`onread` of net.connect) and call him.
 * The client libraries make their sockets themselves and leave that out, so it is switched on here on a
 * socket that exists: by the three fields in which net.Socket keeps the option, and the method of its handle
 * that Node itself calls for it. pause(), resume(), the end and errors stay Node's. Where any of these is
 * not found, nothing is done, and bytes come as ever.
 *
 * All sockets share one buffer: it is read into and used up within one callback.
 */
import type { Socket } from 'node:net';
import { READ_BYTES } from '../limits.ts';

interface Handle {
  useUserBuffer?(buffer: Uint8Array): unknown;
}

interface Fields {
  readonly buffer: symbol;
  readonly callback: symbol;
  readonly generator: symbol;
}

let shared: Buffer | undefined;

/**
 * From the moment the socket is connected `take` is given what comes. The bytes are the reader's only
 * until it returns. `began` is called when that is so; never, where it cannot be had.
 */
export function readInto(socket: Socket, take: (bytes: Buffer) => void, began: () => void): void {
  const begin = (): void => {
    if (attach(socket, take)) began();
  };
  if (socket.connecting) socket.prependOnceListener('connect', begin);
  else begin();
}

function attach(socket: Socket, take: (bytes: Buffer) => void): boolean {
  const handle = Reflect.get(socket, '_handle') as Handle | null | undefined;
  const fields = fieldsOf(socket);
  if (typeof handle?.useUserBuffer !== 'function' || fields === undefined) return false;
  // Its maker reads into a buffer of his own.
  if (Reflect.get(socket, fields.buffer) !== null) return false;
  shared ??= Buffer.allocUnsafeSlow(READ_BYTES);
  const buffer = shared;
  Reflect.set(socket, fields.callback, (bytes: number): boolean => {
    take(buffer.subarray(0, bytes));
    return true;
  });
  Reflect.set(socket, fields.generator, null);
  Reflect.set(socket, fields.buffer, buffer);
  handle.useUserBuffer(buffer);
  return true;
}

function fieldsOf(socket: Socket): Fields | undefined {
  const own = new Map(Object.getOwnPropertySymbols(socket).map((one) => [one.description, one]));
  const buffer = own.get('kBuffer');
  const callback = own.get('kBufferCb');
  const generator = own.get('kBufferGen');
  return buffer === undefined || callback === undefined || generator === undefined
    ? undefined
    : { buffer, callback, generator };
}

export function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafe(bytes.length);
  bytes.copy(copy);
  return copy;
}
