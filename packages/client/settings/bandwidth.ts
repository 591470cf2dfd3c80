/** How many bytes a second one connection carries, up and down: by a value that is written, read and removed. */
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { messageOf } from '../errors.ts';
import { DIAGNOSE_BYTES, DIAGNOSE_BYTES_MS, DIAGNOSE_KEYS_MAX } from '../limits.ts';
import type { Probe } from './probe.ts';

export interface Bandwidth {
  readonly up: number;
  readonly down: number;
}

/**
 * The best of some rounds: the first one is of a connection, and of a process, that have not got going. Undefined:
 * not allowed to write, no memory left, or no key that belongs to this node, which is no fault of the link.
 */
export async function measureBytes(probe: Probe): Promise<Bandwidth | undefined> {
  try {
    const key = await keyHere(probe);
    if (key === undefined) return undefined;
    let best: Bandwidth = { up: 0, down: 0 };
    const begun = performance.now();
    do {
      const { up, down } = await round(probe, key);
      best = { up: Math.max(best.up, up), down: Math.max(best.down, down) };
    } while (performance.now() - begun < DIAGNOSE_BYTES_MS);
    return best;
  } catch (error) {
    if (/^(NOPERM|OOM|READONLY|MISCONF|NOREPLICAS)/.test(messageOf(error))) return undefined;
    throw error;
  }
}

/** In a cluster most names belong to other nodes. */
async function keyHere(probe: Probe): Promise<string | undefined> {
  for (let attempt = 0; attempt < DIAGNOSE_KEYS_MAX; attempt += 1) {
    const key = `cinnabar:diagnose:${randomBytes(6).toString('hex')}`;
    try {
      await probe.ask('EXISTS', key);
      return key;
    } catch (error) {
      if (!messageOf(error).startsWith('MOVED')) throw error;
    }
  }
  return undefined;
}

async function round(probe: Probe, key: string): Promise<Bandwidth> {
  const value = randomBytes(DIAGNOSE_BYTES);
  const up = performance.now();
  await probe.ask('SET', key, value, 'EX', '60');
  const down = performance.now();
  await probe.ask('GET', key);
  const end = performance.now();
  await probe.ask('DEL', key);
  return {
    up: (DIAGNOSE_BYTES * 1_000) / (down - up),
    down: (DIAGNOSE_BYTES * 1_000) / (end - down),
  };
}
