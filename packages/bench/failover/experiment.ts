/** One system under its writers, and what befalls it, blow after blow. */
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Asker, encode } from '../load/asker.ts';
import { ServerError } from '../load/decode.ts';
import { type ProcessRef, signal, until } from '../processes.ts';
import { type Crash, crash, halfTransactions } from './blows.ts';
import {
  addErrors,
  type Blow,
  type Errors,
  failuresIn,
  lostOf,
  unavailability,
} from './figures.ts';
import { ASK_MS, type System } from './system.ts';
import { Writers } from './writers.ts';

const MB = 1024 * 1024;
const VALUE_BYTES = 1024;
const LOAD_WINDOW = 2_000;
/** The longest that anything here may take to be over. */
const OVER_MS = 30_000;
/** Writers go on for this long after the last blow, and before the first. */
const QUIET_MS = 300;

export interface Outcome {
  readonly blows: readonly (Blow & ReturnType<typeof unavailability>)[];
  readonly errors: Errors;
  /** Errors of any kind whose write was due around a failover on request. */
  readonly plannedErrors: readonly string[];
  readonly lost: number;
  readonly lostWithWait: number;
  readonly halfTransactions: number;
  /** The longest that a successful write took, from when it was due. */
  readonly longestWriteMs: number;
  /** Due a second, over everything: what was not acknowledged for the fault is no slower load. */
  readonly rate: number;
}

/** What is done to the shard once; answers when, and resolves `over` when it is behind us. Null: it cannot be done. */
export type Deed = (
  system: System,
) => Promise<{ kind: string; at: number; over: Promise<unknown> } | null>;

export function killing(how: Crash): Deed {
  return async (system) => {
    const { at, victim } = await crash(system, how);
    return { kind: how, at, over: replaced(system, victim) };
  };
}

/** The primary is stopped, not killed: it holds its sockets and says nothing. */
export const hanging: Deed = async (system) => {
  const victim = await system.primary();
  await sleep(randomInt(QUIET_MS));
  const at = performance.timeOrigin + performance.now();
  signal(victim, 'SIGSTOP');
  return { kind: 'hang', at, over: replaced(system, victim) };
};

/**
 * Killed, and its successor again while that has no whole copy beside it: what was only in memory
 * is gone, and the shard serves again empty.
 */
export const killingTwice: Deed = async (system) => {
  const { victim: first } = await crash(system, 'any-moment');
  await replaced(system, first);
  const { at, victim } = await crash(system, 'at-once');
  return { kind: 'while-syncing', at, over: replaced(system, victim) };
};

export async function experiment(
  system: System,
  deeds: readonly Deed[],
  options: { readonly seed: number; say(line: string): void },
): Promise<Outcome> {
  await system.whole();
  const writers = await Writers.start(system, options.seed);
  try {
    return await strike(system, deeds, writers, options.say);
  } catch (error) {
    await writers.abandon();
    throw error;
  }
}

async function strike(
  system: System,
  deeds: readonly Deed[],
  writers: Writers,
  say: (line: string) => void,
): Promise<Outcome> {
  const done: { kind: string; at: number }[] = [];
  await sleep(QUIET_MS);
  for (const deed of deeds) {
    await system.whole();
    const fallen = await deed(system);
    if (fallen === null) continue;
    const { kind, at, over } = fallen;
    done.push({ kind, at });
    await over;
    const before = writers.acknowledged;
    await until('writes are acknowledged again', () => writers.acknowledged > before, OVER_MS);
  }
  await system.whole();
  await sleep(QUIET_MS);
  const end = performance.timeOrigin + performance.now();
  const reports = await writers.end();
  const blows = done.map((each, i) => {
    const blow = { ...each, until: done[i + 1]?.at ?? end };
    return { ...blow, ...unavailability(reports.plain.pauses, blow) };
  });
  for (const { kind, gapMs, gapAfterMs } of blows) {
    say(`${system.name}: ${kind}: ${gapMs.toFixed(1)} ms, from ${gapAfterMs.toFixed(0)} ms on`);
  }
  const { arrivals, ok, unknown, shed, seconds } = reports.plain;
  say(
    `${system.name}: ${arrivals} writes in ${seconds.toFixed(0)} s: ${ok} acknowledged, ${unknown} unknown, ${shed} not sent because too many were unanswered`,
  );
  return {
    blows,
    errors: addErrors(reports, blows),
    plannedErrors: blows
      .filter((blow) => blow.kind === 'planned')
      .flatMap((blow) => failuresIn(reports, blow)),
    lost: lostOf(reports.plain),
    lostWithWait: lostOf(reports.guarded),
    halfTransactions: await halfTransactions(system),
    longestWriteMs: reports.plain.latencyMs.max,
    rate: arrivals / seconds,
  };
}

/** Another process is primary; not asked for in the moment that is measured. */
async function replaced(system: System, victim: ProcessRef): Promise<void> {
  await sleep(ASK_MS);
  await until(
    'another primary',
    async () => {
      const now = await system.primary().catch(() => null);
      return now !== null && (now.pid !== victim.pid || now.startTicks !== victim.startTicks);
    },
    OVER_MS,
    ASK_MS,
  );
}

/** Puts this much data on the shard under test. */
export async function fill(system: System, megabytes: number): Promise<void> {
  const asker = await Asker.open(await system.entrance());
  try {
    const value = Buffer.alloc(VALUE_BYTES, 'd');
    const keys = (megabytes * MB) / VALUE_BYTES;
    for (let from = 0; from < keys; from += LOAD_WINDOW) {
      const window = Array.from({ length: Math.min(LOAD_WINDOW, keys - from) }, (_, i) =>
        asker.raw(encode(['SET', `{${system.tag}}:data:${from + i}`, value])),
      );
      for (const reply of await Promise.all(window)) if (reply instanceof ServerError) throw reply;
    }
  } finally {
    asker.close();
  }
}
