/**
 * Bodies of Lua scripts that clients have shown us, by SHA-1 (engine rule 13).
 *
 * Engines do not pass loaded scripts on: not to replicas, not with slots. So an EVALSHA that worked
 * a moment ago fails after a failover. The endpoint keeps the bodies; before an EVALSHA goes to an
 * instance of which it is not known that it has the script, SCRIPT LOAD goes ahead of it in the same
 * write. Sending it afterwards, on NOSCRIPT, would let the commands behind it overtake.
 */
import { createHash } from 'node:crypto';
import { SCRIPT_BYTES, SCRIPTS } from './limits.ts';

export class Scripts {
  readonly #bodies = new Map<string, Buffer>();
  #bytes = 0;
  /** By instance: the scripts it is known to have. */
  readonly #loaded = new Map<string, Set<string>>();
  /** A body that was not known before. */
  onNew: ((body: Buffer) => void) | null = null;

  /** A client showed it. */
  remember(body: Buffer): string {
    const sha = createHash('sha1').update(body).digest('hex');
    if (this.#bodies.has(sha) || body.length > SCRIPT_BYTES / 4) return sha;
    this.#keep(sha, body);
    this.onNew?.(body);
    return sha;
  }

  /** Another worker knows it. */
  keep(body: Buffer): void {
    const sha = createHash('sha1').update(body).digest('hex');
    if (!this.#bodies.has(sha)) this.#keep(sha, body);
  }

  bodies(): Iterable<Buffer> {
    return this.#bodies.values();
  }

  body(sha: string): Buffer | null {
    return this.#bodies.get(sha) ?? null;
  }

  #keep(sha: string, body: Buffer): void {
    this.#bodies.set(sha, Buffer.from(body));
    this.#bytes += body.length;
    for (const [oldest, text] of this.#bodies) {
      if (this.#bytes <= SCRIPT_BYTES && this.#bodies.size <= SCRIPTS) break;
      this.#bodies.delete(oldest);
      this.#bytes -= text.length;
    }
  }

  /** The body to load before `sha` is run on this instance; null: not needed, or not known. */
  missing(node: string, sha: string): Buffer | null {
    const body = this.#bodies.get(sha);
    if (body === undefined || this.#loaded.get(node)?.has(sha) === true) return null;
    return body;
  }

  loaded(node: string, sha: string): void {
    const known = this.#loaded.get(node);
    if (known === undefined) this.#loaded.set(node, new Set([sha]));
    else known.add(sha);
  }

  /** The instance restarted, or was told to forget. */
  forget(node: string): void {
    this.#loaded.delete(node);
  }

  /** SCRIPT FLUSH: what a client asked to forget is not brought back. */
  flush(): void {
    this.#bodies.clear();
    this.#loaded.clear();
    this.#bytes = 0;
  }
}
