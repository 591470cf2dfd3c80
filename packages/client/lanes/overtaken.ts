/**
 * A write that the server refused may be made again, but not after what was asked later on its keys: the
 * older value would end up on top of a newer one that was acknowledged. To hold everything later back until
 * the retry is done would make one refusal a stop of the key, for as long as the server refuses. So the
 * write is made again only while nobody has asked anything later on its keys; otherwise its caller gets the
 * refusal, as from the plain client, and knows that it did not run.
 */
import type { Call } from './call.ts';
import type { Lane } from './lane.ts';

export class Overtaken {
  /** Writes that wait to be made again, by key. */
  readonly #waiting = new Map<string, Set<Call>>();
  readonly #overtaken = new WeakSet<Call>();

  get size(): number {
    return this.#waiting.size;
  }

  /** Whatever shares a key with it and is on a lane was asked later: its own reply came first. */
  judge(call: Call, lanes: Iterable<Lane>): boolean {
    if (!this.#overtaken.has(call) && isBehind(call, lanes)) this.#overtaken.add(call);
    return this.#overtaken.has(call);
  }

  wait(call: Call): void {
    for (const key of call.keys()) {
      const waiting = this.#waiting.get(key);
      if (waiting === undefined) this.#waiting.set(key, new Set([call]));
      else waiting.add(call);
    }
  }

  /** Its time has come. True: somebody asked for something later meanwhile. */
  end(call: Call): boolean {
    for (const key of call.keys()) {
      const waiting = this.#waiting.get(key);
      waiting?.delete(call);
      if (waiting?.size === 0) this.#waiting.delete(key);
    }
    return this.#overtaken.has(call);
  }

  /** This one goes to a server now. */
  asked(call: Call): void {
    for (const key of call.keys()) {
      for (const other of this.#waiting.get(key) ?? []) {
        if (other !== call) this.#overtaken.add(other);
      }
    }
  }
}

function isBehind(call: Call, lanes: Iterable<Lane>): boolean {
  const keys = call.facts.read ? [] : call.keys();
  if (keys.length === 0) return false;
  const mine = new Set(keys);
  for (const { pending } of lanes) {
    for (const other of pending) {
      if (other !== call && other.keys().some((key) => mine.has(key))) return true;
    }
  }
  return false;
}
