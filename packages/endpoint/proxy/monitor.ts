/**
 * MONITOR: what clients of this database send, in the engine's format, secrets left out. Workers tell
 * each other how many monitors they have; a worker whose neighbours have some sends them what its own
 * clients do, a tick's worth at once. All addresses of a database in a worker share these. A worker that reads too slowly misses lines, and a line says how
 * many.
 */
import { isWord } from '../../resp/table/index.ts';
import type { Call } from './dispatch.ts';
import { MONITOR_ARGUMENT_BYTES, MONITOR_ARGUMENTS, MONITORS } from './limits.ts';
import type { ProxyPath } from './proxy.ts';
import { bytesOf } from './route.ts';
import type { Session } from './session.ts';

const HIDDEN = Buffer.from('(redacted)');

export class Monitors {
  readonly #proxy: ProxyPath;
  readonly #sessions = new Set<Session>();
  /** Monitors of other workers, and what they have missed, by pid. */
  readonly #elsewhere = new Map<number, { count: number; missed: number }>();
  #lines: string[] = [];

  constructor(proxy: ProxyPath) {
    this.#proxy = proxy;
  }

  /** Of this worker. */
  get size(): number {
    return this.#sessions.size;
  }

  has(session: Session): boolean {
    return this.#sessions.has(session);
  }

  /** Somebody, in whatever worker, wants to see. */
  get watching(): boolean {
    return this.#sessions.size > 0 || this.#elsewhere.size > 0;
  }

  /** False: there are too many already. */
  add(session: Session): boolean {
    let total = this.#sessions.size;
    for (const { count } of this.#elsewhere.values()) total += count;
    if (total >= MONITORS) return false;
    this.#sessions.add(session);
    this.#tellCount();
    return true;
  }

  remove(session: Session): void {
    if (this.#sessions.delete(session)) this.#tellCount();
  }

  /** A worker has so many monitors now. */
  elsewhere(pid: number, count: number): void {
    if (count === 0) this.#elsewhere.delete(pid);
    else this.#elsewhere.set(pid, { count, missed: 0 });
    for (const path of this.#proxy.paths) path.refreshSessions();
  }

  /** What clients of another worker sent. */
  show(lines: string): void {
    const bytes = Buffer.from(lines, 'latin1');
    for (const monitor of this.#sessions) if (!monitor.order.muting) monitor.message(bytes);
  }

  saw(call: Call): void {
    const { session, command, bytes, args } = call;
    if (!this.watching || command.admin) return;
    const secrets = secretsOf(call);
    const parts: string[] = [];
    const shown = Math.min(args.count, MONITOR_ARGUMENTS);
    for (let i = 0; i < shown; i++) {
      const argument = secrets.includes(i) ? HIDDEN : bytesOf(bytes, args, i);
      const more = argument.length - MONITOR_ARGUMENT_BYTES;
      const word = quote(argument.subarray(0, MONITOR_ARGUMENT_BYTES));
      parts.push(more > 0 ? `${word}... (${more} more bytes)` : word);
    }
    if (args.count > shown) parts.push(`... (${args.count - shown} more arguments)`);
    const { client, state } = session;
    const text = this.#line(`${state.database} ${client.address}`, parts.join(' '));
    const line = Buffer.from(text, 'latin1');
    // What a monitor does itself it sees behind the answer.
    for (const monitor of this.#sessions) {
      if (monitor === session) session.reply(line);
      else if (!monitor.order.muting) monitor.message(line);
    }
    if (this.#elsewhere.size === 0) return;
    if (this.#lines.length === 0) setImmediate(() => this.#send());
    this.#lines.push(text);
  }

  #line(from: string, what: string): string {
    const now = this.#proxy.world.host.now();
    const micros = String(Math.floor((now % 1000) * 1000)).padStart(6, '0');
    return `+${Math.floor(now / 1000)}.${micros} [${from}] ${what}\r\n`;
  }

  #send(): void {
    const lines = this.#lines;
    this.#lines = [];
    for (const [pid, to] of this.#elsewhere) {
      const missed =
        to.missed === 0
          ? ''
          : this.#line('0 endpoint', `"monitor-overflow: ${to.missed} commands were not shown"`);
      const sent = this.#proxy.across.tell(
        { kind: 'monitored', lines: missed + lines.join('') },
        pid,
      );
      to.missed = sent ? 0 : to.missed + lines.length;
    }
  }

  #tellCount(): void {
    this.#proxy.across.tell({ kind: 'monitors', count: this.#sessions.size });
    for (const path of this.#proxy.paths) path.refreshSessions();
  }
}

/** Places of arguments that nobody may see. */
function secretsOf({ command, bytes, args }: Call): readonly number[] {
  if (command.name !== 'auth' && command.name !== 'hello') return NONE;
  const all = Array.from({ length: args.count }, (_, i) => i);
  if (command.name === 'auth') return all.slice(1);
  const isAuth = (i: number): boolean =>
    isWord('auth', bytes, args.starts[i] ?? 0, args.ends[i] ?? 0);
  // Also where the version is missing, and the engine would show them.
  return all.filter((i) => (i > 1 && isAuth(i - 1)) || (i > 2 && isAuth(i - 2)));
}
const NONE: readonly number[] = [];

function quote(bytes: Buffer): string {
  let text = '"';
  for (const byte of bytes) {
    if (byte === 34 || byte === 92) text += `\\${String.fromCharCode(byte)}`;
    else if (byte === 10) text += '\\n';
    else if (byte === 13) text += '\\r';
    else if (byte === 9) text += '\\t';
    else if (byte === 7) text += '\\a';
    else if (byte === 8) text += '\\b';
    else if (byte >= 32 && byte < 127) text += String.fromCharCode(byte);
    else text += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return `${text}"`;
}
