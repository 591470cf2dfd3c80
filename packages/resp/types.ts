/**
 * Values of a parsed reply. RESP2 and RESP3 share one set of types: what RESP2 cannot say
 * (maps, sets, booleans) simply never appears there.
 *
 * Strings with a length ("bulk") are Buffers, because they are binary; simple strings are strings.
 */
export type Reply =
  | string
  | number
  | bigint
  | boolean
  | null
  | Buffer
  | RespError
  | RespMap
  | RespSet
  | Verbatim
  | Reply[];

/** An error reply. A value, not an exception: in a pipeline or an array it is one answer among others. */
export class RespError {
  /** The first word in capitals ('ERR', 'MOVED', 'WRONGTYPE'), or '' when there is none. */
  readonly code: string;
  /** The whole text, code included. */
  readonly message: string;

  constructor(message: string) {
    this.message = message;
    this.code = /^[A-Z][A-Z0-9_]*(?=$| )/.exec(message)?.[0] ?? '';
  }

  toString(): string {
    return this.message;
  }
}

/** Pairs in the order they came; keys may be any reply, so this is no JavaScript Map. */
export class RespMap {
  readonly entries: readonly (readonly [key: Reply, value: Reply])[];

  constructor(entries: readonly (readonly [key: Reply, value: Reply])[]) {
    this.entries = entries;
  }

  /** The value under a textual key; undefined when absent. */
  get(key: string): Reply | undefined {
    for (const [candidate, value] of this.entries) {
      if (candidate === key) return value;
      if (Buffer.isBuffer(candidate) && candidate.toString() === key) return value;
    }
    return undefined;
  }
}

export class RespSet {
  readonly items: readonly Reply[];

  constructor(items: readonly Reply[]) {
    this.items = items;
  }
}

/** A string with a three-letter format, e.g. 'txt' or 'mkd'. */
export class Verbatim {
  readonly format: string;
  readonly text: Buffer;

  constructor(format: string, text: Buffer) {
    this.format = format;
    this.text = text;
  }
}

/** An out-of-band message: its kind ('invalidate', 'message', ...) is its first item. */
export interface Push {
  readonly kind: string;
  readonly items: readonly Reply[];
}

/** The stream is not RESP, or passes a bound. The connection cannot go on. */
export class RespProtocolError extends Error {
  override readonly name = 'RespProtocolError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}
