import { readFileSync } from 'node:fs';

/** Field 3 of proc(5) and those behind it; null: no such process. */
export function statFields(pid: number): readonly string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name before the last bracket may hold anything.
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}
