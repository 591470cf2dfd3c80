/**
 * What a load sends: weighted commands with keys and values of given sizes, compiled once to byte
 * templates in which only the digits of the key number change.
 */
import { Random } from '../data/random.ts';
import { encode } from './asker.ts';

/**
 * - plain: any command; `{key}` and `{value}` in `args` are filled in.
 * - register, log: the witnesses of `verdict.ts`; they bring their own commands and keys.
 */
export type Operation =
  | {
      readonly kind: 'plain';
      readonly args: readonly string[];
      readonly weight: number;
      /** One of these, at random. */
      readonly valueBytes?: readonly number[];
      /** Keys are numbered 0 to keys - 1. */
      readonly keys?: number;
    }
  | {
      readonly kind: 'register' | 'log';
      readonly weight: number;
      readonly valueBytes?: number;
      /**
       * Registers: WAIT 1 follows each write on its connection for up to so many milliseconds, and
       * only a write that a replica holds counts as acknowledged.
       */
      readonly waitMs?: number;
    };

export interface Profile {
  readonly operations: readonly Operation[];
  /** Registers and logs of each connection. */
  readonly streamsPerConnection?: number;
  /** Hash tag of every witness key: keeps them on one shard. */
  readonly tag?: string;
}

export const PROFILES = {
  ping: { operations: [{ kind: 'plain', args: ['PING'], weight: 1 }] },
  get: { operations: [{ kind: 'plain', args: ['GET', '{key}'], weight: 1, keys: 10_000 }] },
  set: {
    operations: [
      {
        kind: 'plain',
        args: ['SET', '{key}', '{value}'],
        weight: 1,
        keys: 10_000,
        valueBytes: [100],
      },
    ],
  },
  /** A cache's everyday mix: reads ten to one, values of several sizes. */
  cache: {
    operations: [
      { kind: 'plain', args: ['GET', '{key}'], weight: 10, keys: 100_000 },
      {
        kind: 'plain',
        args: ['SET', '{key}', '{value}', 'EX', '600'],
        weight: 1,
        keys: 100_000,
        valueBytes: [100, 100, 1024, 1024, 16_384],
      },
    ],
  },
  /** Every write a witness, reads between them. */
  witness: {
    operations: [
      { kind: 'register', weight: 2, valueBytes: 100 },
      { kind: 'log', weight: 1 },
      { kind: 'plain', args: ['GET', '{key}'], weight: 2, keys: 10_000 },
    ],
    streamsPerConnection: 4,
  },
} as const satisfies Record<string, Profile>;

const KEY_DIGITS = 12;
const KEY_PREFIX = 'key:';

export interface Template {
  readonly bytes: Buffer;
  /** Where the key's digits begin; -1: no key. */
  readonly digitsAt: number;
}

export function keyOf(number: number): Buffer {
  return Buffer.from(KEY_PREFIX + String(number).padStart(KEY_DIGITS, '0'));
}

/** One template a value size. */
export function compile(operation: Extract<Operation, { kind: 'plain' }>): Template[] {
  const random = new Random(1);
  return (operation.valueBytes ?? [0]).map((size) => {
    const value = random
      .bytes(Math.ceil(size / 2))
      .toString('hex')
      .slice(0, size);
    const args = operation.args.map((arg) =>
      arg === '{key}' ? keyOf(0) : arg === '{value}' ? value : arg,
    );
    const bytes = encode(args);
    const at = bytes.indexOf(keyOf(0));
    return { bytes, digitsAt: at < 0 ? -1 : at + KEY_PREFIX.length };
  });
}

export function patchDigits(buf: Buffer, at: number, number: number): void {
  let rest = number;
  for (let i = KEY_DIGITS - 1; i >= 0; i -= 1) {
    const next = Math.floor(rest / 10);
    buf[at + i] = 48 + (rest - next * 10);
    rest = next;
  }
}

export const VERSION_DIGITS = 12;

/** SET <key> <version, padded to size> GET */
export function registerCommand(key: Buffer, version: number, size: number): Buffer {
  const head = String(version).padStart(VERSION_DIGITS, '0') + ':';
  return encode(['SET', key, head.padEnd(size, 'x'), 'GET']);
}

/** Answered when one replica has everything written on this connection so far, or in vain. */
export function waitCommand(waitMs: number): Buffer {
  return encode(['WAIT', 1, waitMs]);
}

export function logCommand(key: Buffer, number: number): Buffer {
  return encode(['RPUSH', key, String(number)]);
}
