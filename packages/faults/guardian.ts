/**
 * A child that undoes faults: at their end, when told to, and when the process that set them dies.
 * It hears of that death by the end of the pipe, which no way of dying can prevent; signals that
 * end a whole terminal session do not reach it (own process group, and it ignores them).
 *
 * One JSON message a line, both ways: {set, id, undo, ms} -> {armed, id}; {end, id} or the deadline
 * -> {undone, id, error?}. A fault is only set after `armed`: there is no moment in which a fault
 * exists that nobody would take back.
 */
import { createInterface } from 'node:readline';
import { perform, type Undo } from './undo.ts';

export type ToGuardian =
  | {
      readonly type: 'set';
      readonly id: number;
      readonly undo: readonly Undo[];
      readonly ms: number;
    }
  | { readonly type: 'end'; readonly id: number };
export type FromGuardian =
  | { readonly type: 'armed'; readonly id: number }
  | { readonly type: 'undone'; readonly id: number; readonly error?: string };

const pending = new Map<number, { undo: readonly Undo[]; timer: NodeJS.Timeout }>();

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
  say(
    problems.length === 0
      ? { type: 'undone', id }
      : { type: 'undone', id, error: problems.join('; ') },
  );
}

for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => undefined);
// The owner may be gone while an answer is written: the work matters, not the answer.
process.stdout.on('error', () => undefined);

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line) as ToGuardian;
  if (message.type === 'set') {
    const timer = setTimeout(() => void undo(message.id), message.ms);
    pending.set(message.id, { undo: message.undo, timer });
    say({ type: 'armed', id: message.id });
  } else {
    void undo(message.id);
  }
}
await Promise.all([...pending.keys()].map(undo));
process.exit(0);
