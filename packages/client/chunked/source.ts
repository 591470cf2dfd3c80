/** What a value may come from, and how it is cut. */
export type ChunkSource =
  | string
  | Uint8Array
  | AsyncIterable<Uint8Array | string>
  | ReadableStream<Uint8Array>;

/** The type says it; who writes JavaScript hears it here. */
export function isSource(value: unknown): value is ChunkSource {
  if (typeof value === 'string' || value instanceof Uint8Array) return true;
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

/** Cuts any source into pieces of exactly `bytes`, but the last. Throws what `stopped` makes of an aborted signal. */
export async function* pieces(
  source: ChunkSource,
  bytes: number,
  signal: AbortSignal | undefined,
  stopped: (reason: unknown) => Error,
): AsyncGenerator<Buffer> {
  if (typeof source === 'string' || source instanceof Uint8Array) {
    const all =
      typeof source === 'string'
        ? Buffer.from(source)
        : Buffer.from(source.buffer, source.byteOffset, source.byteLength);
    for (let at = 0; at < all.length; at += bytes) yield all.subarray(at, at + bytes);
    return;
  }
  const parts = source as AsyncIterable<Uint8Array | string>;
  let rest: Buffer[] = [];
  let held = 0;
  for await (const part of signal === undefined ? parts : until(signal, parts, stopped)) {
    rest.push(typeof part === 'string' ? Buffer.from(part) : Buffer.from(part));
    held += (rest.at(-1) as Buffer).length;
    if (held < bytes) continue;
    const all = rest.length === 1 ? (rest[0] as Buffer) : Buffer.concat(rest, held);
    let at = 0;
    for (; held - at >= bytes; at += bytes) yield all.subarray(at, at + bytes);
    rest = [all.subarray(at)];
    held -= at;
  }
  if (held > 0) yield Buffer.concat(rest, held);
}

/**
 * The parts of a source, until the signal is aborted: also in the middle of a part that never comes. The source is
 * told that it is over, and not waited for.
 */
async function* until<T>(
  signal: AbortSignal,
  source: AsyncIterable<T>,
  stopped: (reason: unknown) => Error,
): AsyncGenerator<T> {
  const parts = source[Symbol.asyncIterator]();
  // For one part each: a promise for all of them would keep a reaction for each part that came.
  let stop = (): void => {};
  const onAbort = (): void => stop();
  signal.addEventListener('abort', onAbort, { once: true });
  let over = false;
  try {
    for (;;) {
      const next = await new Promise<IteratorResult<T>>((resolve, reject) => {
        stop = () => reject(stopped(signal.reason));
        if (signal.aborted) return stop();
        parts.next().then(resolve, reject);
      });
      if (next.done === true) {
        over = true;
        return;
      }
      yield next.value;
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    // What it says about its own end is nobody's any more.
    if (!over) parts.return?.().then(undefined, () => {});
  }
}
