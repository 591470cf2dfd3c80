/** Numbers and times for people. Machines get raw units by `--json`. */

/** Decimal units, as sizes of SKUs and the messages of the API: Balanced_B0 with its 400 MB is 0.5 GB. */
export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let n = value;
  let unit = 0;
  while (n >= 999.95 && unit < units.length - 1) {
    n /= 1000;
    unit++;
  }
  return `${n >= 100 || unit === 0 ? Math.round(n) : n.toFixed(1).replace(/\.0$/, '')} ${units[unit]}`;
}

/** Rounded before it is divided: 59.96 s are a minute, and no minute has 60 s. */
export function duration(ms: number): string {
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Local time, sortable: 2026-11-23 14:02:05. */
export function when(ms: number): string {
  const d = new Date(ms);
  const two = (n: number) => String(n).padStart(2, '0');
  return (
    `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ` +
    `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`
  );
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/**
 * What must not reach a terminal, for names, messages and details come from elsewhere: control
 * characters other than our own colours, what turns the direction of writing round (a name that reads
 * as another one), what ends a line where there is none, and halves of characters.
 */
const UNSAFE = /[\p{Cc}\p{Cs}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** Text of several lines. */
export function printable(text: string): string {
  return text.replace(UNSAFE, (c) => (c === '\n' || c === '\t' ? c : '\u{fffd}'));
}

/** Text that is to stay within its line, or its cell of a table. */
export function oneLine(text: string): string {
  return text.replace(UNSAFE, '\u{fffd}');
}

/** The same JSON, with what a terminal would obey as escapes. */
export function printableJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(UNSAFE, (c) =>
    c === '\n' ? c : `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export function truncate(text: string, width: number): string {
  return text.length <= width ? text : width <= 1 ? '\u2026' : `${text.slice(0, width - 1)}\u2026`;
}
