/**
 * Ways in which a primary meets its end, each at a moment that some system of this kind got wrong:
 * at any time; while its snapshot is being written (a child holds its sockets open, so nobody sees
 * them close); with half of a large value read; with a transaction on its way.
 */
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Asker, encode, greeting, openSocket } from '../load/asker.ts';
import { type ProcessRef, signal } from '../processes.ts';
import type { System } from './system.ts';

export const CRASHES = ['any-moment', 'snapshot', 'large-value', 'transaction'] as const;
export type Crash = (typeof CRASHES)[number];
type AtOnce = 'at-once';

const LARGE_VALUE_BYTES = 5 * 1024 * 1024;
/** A snapshot of 100 MB takes a few hundred; a large value is half written after a few. */
const WITHIN_MS = 15;
/** Of the moment's own luck: the blow never falls in step with somebody's timer. */
const JITTER_MS = 250;

/** Kills the primary in this way; answers when (milliseconds since 1970) and whom. */
export async function crash(
  system: System,
  how: Crash | AtOnce,
): Promise<{ at: number; victim: ProcessRef }> {
  const victim = await system.primary();
  if (how !== 'at-once') await sleep(randomInt(JITTER_MS));
  switch (how) {
    case 'at-once':
    case 'any-moment':
      return { at: end(victim), victim };
    case 'snapshot':
      await system.beginSnapshot();
      await sleep(randomInt(WITHIN_MS));
      return { at: end(victim), victim };
    case 'large-value': {
      const socket = await halfWritten(system);
      await sleep(randomInt(WITHIN_MS));
      const at = end(victim);
      socket.destroy();
      return { at, victim };
    }
    case 'transaction':
      return { at: await withinTransaction(system, victim), victim };
  }
}

function end(victim: ProcessRef): number {
  const at = performance.timeOrigin + performance.now();
  if (!signal(victim, 'SIGKILL')) throw new Error('the primary was gone before it was killed');
  return at;
}

/** A connection that has sent the first half of a SET, and never sends the rest. */
async function halfWritten(system: System) {
  const target = await system.entrance();
  const request = encode(['SET', `{${system.tag}}:large`, Buffer.alloc(LARGE_VALUE_BYTES, 'x')]);
  const socket = openSocket(target);
  socket.on('error', () => undefined); // It may end with the primary: that is the point.
  await new Promise<void>((resolve) =>
    socket.once(target.tls === undefined ? 'connect' : 'secureConnect', resolve),
  );
  for (const args of greeting(target, 2)) socket.write(encode(args));
  await new Promise<void>((resolve) =>
    socket.write(request.subarray(0, request.length / 2), () => resolve()),
  );
  return socket;
}

/** Transactions that write two keys, one after the other; the blow falls with one on its way. */
async function withinTransaction(system: System, victim: ProcessRef): Promise<number> {
  const asker = await Asker.open(await system.entrance());
  const keys = ['a', 'b'].map((name) => `{${system.tag}}:${name}`);
  const transaction = Buffer.concat([
    encode(['MULTI']),
    ...keys.map((key) => encode(['INCR', key])),
    encode(['EXEC']),
  ]);
  try {
    // Four replies; only the last is looked at by nobody: both keys are compared afterwards.
    for (let i = 0; i < 3; i += 1) asker.raw(transaction).catch(() => undefined);
    return end(victim);
  } finally {
    asker.close();
  }
}

/** Both keys of every transaction: equal unless one was executed by half. */
export async function halfTransactions(system: System): Promise<number> {
  const asker = await Asker.open(await system.entrance());
  try {
    const [a, b] = await Promise.all(
      ['a', 'b'].map(async (name) =>
        Number((await asker.ask('GET', `{${system.tag}}:${name}`)) ?? 0),
      ),
    );
    return Math.abs((a ?? 0) - (b ?? 0));
  } finally {
    asker.close();
  }
}
