/** MONITOR: what clients of this endpoint send, in the engine's format, secrets left out. */
import type { ArgumentRanges } from '../../resp/table/index.ts';
import { MONITOR_ARGUMENT_BYTES, MONITOR_ARGUMENTS, MONITORS } from './limits.ts';
import { bytesOf } from './route.ts';
import type { Session } from './session.ts';

/** Never shown: their arguments may be secrets. */
const HIDDEN = new Set(['auth', 'hello', 'exec', 'quit', 'reset', 'monitor']);

export class Monitors {
  readonly #sessions = new Set<Session>();

  get size(): number {
    return this.#sessions.size;
  }

  /** False: there are too many already. */
  add(session: Session): boolean {
    if (this.#sessions.size >= MONITORS) return false;
    this.#sessions.add(session);
    return true;
  }

  /** True: it was one. */
  remove(session: Session): boolean {
    return this.#sessions.delete(session);
  }

  saw(session: Session, command: string, bytes: Buffer, args: ArgumentRanges): void {
    if (this.#sessions.size === 0 || HIDDEN.has(command)) return;
    const now = session.proxy.world.host.now();
    const parts: string[] = [];
    const shown = Math.min(args.count, MONITOR_ARGUMENTS);
    for (let i = 0; i < shown; i++) {
      const argument = bytesOf(bytes, args, i);
      const more = argument.length - MONITOR_ARGUMENT_BYTES;
      const text = quote(argument.subarray(0, MONITOR_ARGUMENT_BYTES));
      parts.push(more > 0 ? `${text}... (${more} more bytes)` : text);
    }
    if (args.count > shown) parts.push(`... (${args.count - shown} more arguments)`);
    const seconds = `${Math.floor(now / 1000)}.${String(Math.floor((now % 1000) * 1000)).padStart(6, '0')}`;
    const line = Buffer.from(
      `+${seconds} [${session.state.database} ${session.client.address}] ${parts.join(' ')}\r\n`,
      'latin1',
    );
    for (const monitor of this.#sessions) if (monitor !== session) monitor.message(line);
  }
}

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
