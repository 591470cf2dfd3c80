/**
 * A child that undoes faults: at their end, when told to, and when the process that set them dies.
 * It hears of that death by the end of the pipe, which no way of dying can prevent; signals that
 * end a whole terminal session do not reach it (own process group, and it ignores them).
 *
 * One JSON message a line, both ways: {set, id, undo, ms, claim} -> {armed, id} or {taken, id}; {end, id}
 * or the deadline -> {undone, id, error?}. A fault is only set after `armed`: there is no moment in which
 * a fault exists that nobody would take back.
 *
 * What a fault sets back to as it was (a limit, a stop, a clock) must not be under another fault of the
 * same kind: ended in the wrong order, the second would restore the first one's doing for ever. So the
 * guardian claims it for all processes of this machine, by a socket name without a file, which the
 * kernel frees however the guardian ends.
 */
import { createServer, type Server } from 'node:net';
import { createInterface } from 'node:readline';
import { perform, type Undo } from './undo.ts';

export type ToGuardian =
  | {
      readonly type: 'set';
      readonly id: number;
      readonly undo: readonly Undo[];
      readonly ms: number;
      /** What nobody else may have a fault on meanwhile; null: any number go together. */
      readonly claim: string | null;
    }
  | { readonly type: 'end'; readonly id: number };
export type FromGuardian =
  | { readonly type: 'armed'; readonly id: number }
  | { readonly type: 'taken'; readonly id: number }
  | { readonly type: 'undone'; readonly id: number; readonly error?: string };

interface Pending {
  readonly undo: readonly Undo[];
  readonly timer: NodeJS.Timeout;
  readonly claim: Server | null;
}

const pending = new Map<number, Pending>();

function say(message: FromGuardian): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

async function undo(id: number): Promise<void> {
  const entry = pending.get(id);
  if (entry === undefined) return;
  pending.delete(id);
  clearTimeout(entry.timer);
  const problems: string[] = [];
  for (const step of entry.undo) {
    try {
      await perform(step);
    } catch (error) {
      problems.push(`${step.kind}: ${String(error)}`);
    }
  }
  entry.claim?.close();
  say(
    problems.length === 0
      ? { type: 'undone', id }
      : { type: 'undone', id, error: problems.join('; ') },
  );
}

/** Null: somebody else has it. */
function claimed(name: string): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('listening', () => resolve(server));
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(null);
      else reject(error);
    });
    server.listen(`\0cinnabar-fault:${name}`);
  });
}

async function set(message: ToGuardian & { readonly type: 'set' }): Promise<void> {
  const { id, ms, claim: name } = message;
  const claim = name === null ? null : await claimed(name);
  if (name !== null && claim === null) {
    say({ type: 'taken', id });
    return;
  }
  const timer = setTimeout(() => void undo(id), ms);
  pending.set(id, { undo: message.undo, timer, claim });
  say({ type: 'armed', id });
}

for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => undefined);
// The owner may be gone while an answer is written: the work matters, not the answer.
process.stdout.on('error', () => undefined);

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line) as ToGuardian;
  if (message.type === 'set') await set(message);
  else void undo(message.id);
}
await Promise.all([...pending.keys()].map(undo));
process.exit(0);
