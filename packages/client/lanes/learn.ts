/**
 * Which calls bring large replies: nobody says so in advance, but keys have families. A reply over
 * the bound marks its (command, key pattern), and the next call that fits goes to a bulk lane at
 * once. The pattern of a key is the key with each run of digits (and each part that looks like an
 * identifier) as one mark, so `report:2024:17` teaches about `report:2025:3`. A pattern that stays
 * small for long enough is forgotten again; the table is bounded, the oldest goes first.
 */
import { LEARNED_PATTERNS_MAX, PATTERN_KEY_CHARS, UNLEARN_AFTER_REPLIES } from '../limits.ts';

export type LargeRule =
  | readonly (string | RegExp)[]
  | ((command: string, key: string | undefined) => boolean);

interface Pattern {
  /** Small replies in a row. */
  small: number;
  bytes: number;
}

export class LargeSketch {
  readonly #patterns = new Map<string, Pattern>();
  readonly #declared: ((command: string, key: string | undefined) => boolean) | undefined;

  constructor(rule: LargeRule | undefined) {
    this.#declared = rule === undefined ? undefined : compile(rule);
  }

  /** Nothing was ever large: then nobody needs to ask. */
  get empty(): boolean {
    return this.#patterns.size === 0 && this.#declared === undefined;
  }

  get size(): number {
    return this.#patterns.size;
  }

  /** Bytes to expect, or 0 when nothing says that it is large. */
  expected(command: string, key: string | undefined): number {
    const known = this.#patterns.get(signature(command, key));
    if (known !== undefined) return known.bytes;
    return this.#declared?.(command, key) === true ? 1 : 0;
  }

  saw(command: string, key: string | undefined, bytes: number, large: boolean): void {
    if (this.#patterns.size === 0 && !large) return;
    const name = signature(command, key);
    const known = this.#patterns.get(name);
    if (large) {
      // Deleted and set again: the oldest stands first.
      this.#patterns.delete(name);
      this.#patterns.set(name, { small: 0, bytes: Math.max(bytes, known?.bytes ?? 0) });
      if (this.#patterns.size > LEARNED_PATTERNS_MAX) {
        const oldest = this.#patterns.keys().next();
        if (!oldest.done) this.#patterns.delete(oldest.value);
      }
      return;
    }
    if (known === undefined) return;
    known.small += 1;
    if (known.small >= UNLEARN_AFTER_REPLIES) this.#patterns.delete(name);
  }
}

/** `get report:2024:17` -> `get report:#:#`. Hexadecimal identifiers of 8 and more count as one mark. */
export function signature(command: string, key: string | undefined): string {
  if (key === undefined) return command;
  const start = key.length > PATTERN_KEY_CHARS ? key.slice(0, PATTERN_KEY_CHARS) : key;
  return `${command} ${start.replace(/[0-9a-fA-F]{8,}(?:-[0-9a-fA-F]{4,})*|\d+/g, '#')}`;
}

function compile(rule: LargeRule): (command: string, key: string | undefined) => boolean {
  if (typeof rule === 'function') return rule;
  const tests = rule.map((one) => (typeof one === 'string' ? glob(one) : one));
  return (_command, key) => key !== undefined && tests.some((test) => test.test(key));
}

/** `*` and `?` as in KEYS. */
function glob(text: string): RegExp {
  const source = text
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.');
  return new RegExp(`^${source}$`, 's');
}
