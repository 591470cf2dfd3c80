/**
 * An engine that executes no script any more.
 *
 * Valkey 9.1 (seen with 9.1.2, not with 8.1) checks each command of a script for keys of several slots,
 * and notes what it found in a client of its own that it takes for the next script, too. So after one
 * script that names keys of different slots in one command (`DEL` of what `KEYS` found, say) every command
 * in every script and function of every client is refused there, also one without keys, until the process
 * ends. Nothing but another process ends it: flushing scripts, functions or data does not.
 *
 * The engine's words are the same as for a script that is wrong itself. So when they come, the engine is
 * asked for a script that cannot be wrong, and from then on clients are told what it is. So is the control
 * process, which replaces that engine's process if it can (control/resources/script-faults.ts).
 */
import type { Lane } from './lane.ts';
import { REFUSED_SCRIPTS_AGAIN_MS, REFUSED_SCRIPTS_TOLD_MS } from './limits.ts';

const WORDS = '-ERR Attempted to access a non local key in a cluster node';
const HARMLESS = ['EVAL', "return redis.call('PING')", '0'];

export class RefusedScripts {
  /** By node, performance.now() of the last question; Infinity: it is under way. */
  readonly #askedAt = new Map<string, number>();
  /** By node that refuses, when that was told. */
  readonly #refusing = new Map<string, number>();

  /** What the client is to read instead of these words of its engine, or null. */
  instead(lane: Lane, line: Buffer): Buffer | null {
    if (line.toString('latin1', 0, WORDS.length) !== WORDS) return null;
    const { node, shard } = lane;
    this.#askIfDue(lane);
    if (!this.#refusing.has(node)) return null;
    return Buffer.from(`-ERR scripts-refused: ${why(shard.id)}; ${REMEDY}\r\n`);
  }

  /** An answer to EXEC with scripts in it, which the client gets as it is. */
  heard(lane: Lane, reply: Buffer): void {
    if (reply.includes(WORDS, 0, 'latin1')) this.#askIfDue(lane);
  }

  #askIfDue(lane: Lane): void {
    const last = this.#askedAt.get(lane.node) ?? 0;
    if (lane.world.now - last > REFUSED_SCRIPTS_AGAIN_MS) this.#ask(lane);
  }

  #ask(lane: Lane): void {
    const { world, node, shard } = lane;
    this.#askedAt.set(node, world.now);
    lane.question(HARMLESS, (reply) => {
      const refuses = reply?.toString('latin1', 0, WORDS.length) === WORDS;
      if (!refuses) return void this.#refusing.delete(node);
      if (world.now - (this.#refusing.get(node) ?? -Infinity) < REFUSED_SCRIPTS_TOLD_MS) return;
      this.#refusing.set(node, world.now);
      world.reached('scripts-refused', why(shard.id), node);
    });
  }
}

const REMEDY =
  "its process is being replaced unless that was done a short while ago (see: cinnabar events); at once: 'cinnabar maintain'";

function why(shard: string): string {
  return `shard ${shard} executes no script or function any more, since one named keys of different slots in one command (a fault of its version of the engine)`;
}
