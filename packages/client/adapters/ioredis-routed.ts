/** What the way to its node knows of a call or a batch, and what a node says of a slot that is elsewhere. */
import type { IoBatch } from './ioredis-batch.ts';
import { IoCall } from './ioredis-call.ts';
import type { IoCommand, IoOptions, IoRedis } from './ioredis-shape.ts';

export type Item = IoCall | IoBatch;

export const none: readonly number[] = [];

export class Routed {
  /** The node that it is under way to, and the slot that it counts for there; -1: none. */
  at: IoRedis | undefined;
  counted = -1;
  /** As a node has told; the library does not know the keys of each command. */
  slot: number | undefined;
  /** The node that takes it, this once, although the slot is another's. */
  ask: string | undefined;
  askedAt = 0;
  hops = 0;
  /** By which it was refused last. */
  refusal: Error | undefined;
  notBefore = 0;
  /** Since when there has been no connection to its node; 0: there is. */
  since = 0;
  /** Of a transaction: it was sent behind a WATCH, of which another node knows nothing. */
  watched = false;
  /** Of a call: the batch that it is a part of. */
  batch: IoBatch | undefined;
}

export interface Redirect {
  readonly kind: 'MOVED' | 'ASK' | 'TRYAGAIN' | 'CLUSTERDOWN';
  readonly slot: number | undefined;
  readonly place: string | undefined;
  readonly delayMs: number;
  readonly error: Error;
}

const redirects = /^(MOVED|ASK) (\d+) (\S+:\d+)|^(TRYAGAIN|CLUSTERDOWN)\b/;

/** An error by which a node says that another is to be asked, or the same one later. */
export function redirectOf(error: Error, options: IoOptions): Redirect | undefined {
  const [, where, slot, place, when] = redirects.exec(error.message) ?? [];
  if (where === 'MOVED' || where === 'ASK') {
    const delayMs = where === 'MOVED' ? (options.retryDelayOnMoved ?? 0) : 0;
    return { kind: where, slot: Number(slot), place, delayMs, error };
  }
  if (when !== 'TRYAGAIN' && when !== 'CLUSTERDOWN') return undefined;
  const delayMs =
    (when === 'TRYAGAIN' ? options.retryDelayOnTryAgain : options.retryDelayOnClusterDown) ?? 0;
  // By 0 the application says that it wants to be told.
  if (when === 'CLUSTERDOWN' && delayMs <= 0) return undefined;
  return { kind: when, slot: undefined, place: undefined, delayMs, error };
}

/** It has been sent elsewhere often enough. */
export function tooMany(routed: Routed, error: Error, options: IoOptions): Error | undefined {
  const { maxRedirections = 0 } = options;
  if (routed.hops < maxRedirections) return undefined;
  return new Error(`Too many Cluster redirections. Last error: ${error}`);
}

export function partOf(batch: IoBatch, call: IoCall): void {
  call.routed ??= new Routed();
  call.routed.batch = batch;
  // It stands for all of them.
  if (call === batch.end)
    call.routed.slot ??= batch.calls.find(({ slot }) => slot !== null)?.slot ?? undefined;
}

export function commandOf(item: Item): IoCommand {
  return item instanceof IoCall ? item.command : (item.calls[0] as IoCall).command;
}

export function slotsOf(item: Item): readonly number[] {
  if (item instanceof IoCall) {
    const { slot } = item;
    return slot === null ? none : [slot];
  }
  const slots = item.calls.map((call) => call.slot);
  return [...new Set(slots.filter((slot) => slot !== null))];
}
