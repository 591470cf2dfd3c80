/**
 * Rules for expensive commands, as a pure function: a rule and a command's arguments to what has to
 * happen. Carrying it out is `guarded.ts`.
 *
 * Where the arguments alone bound the work (LRANGE 0 99, ZRANGEBYSCORE ... LIMIT 0 50), nobody is
 * asked. Where only the size of the key decides, it is measured, and by whom is the point: see there.
 */
import { EXPENSIVE } from '../../resp/table/index.ts';
import type { GuardRule } from '../control-protocol.ts';

export type Verdict =
  /** Not the rule's business. */
  | { readonly kind: 'pass' }
  | { readonly kind: 'warn' }
  | { readonly kind: 'refuse' }
  /** The size of its keys decides. */
  | { readonly kind: 'measure'; readonly action: 'warn' | 'refuse' };

/** `words`: the command as it came, its name first. */
export function judge(rule: GuardRule, words: readonly string[]): Verdict {
  if (rule.action === 'allow') return PASS;
  const name = rule.command;
  const measured = (EXPENSIVE.get(name)?.counts ?? null) !== null;
  if (rule.above === 0 || !measured) return { kind: rule.action };
  return mostOf(name, words) <= rule.above ? PASS : { kind: 'measure', action: rule.action };
}

const PASS: Verdict = { kind: 'pass' };

/** The most elements that these arguments can mean; Infinity: as many as there are. */
export function mostOf(name: string, words: readonly string[]): number {
  switch (name) {
    case 'lrange':
    case 'zrevrange':
      return ofRange(words[2], words[3]);
    case 'zrange': {
      const options = words.slice(4).map((word) => word.toLowerCase());
      const ranked = !options.includes('byscore') && !options.includes('bylex');
      return ranked ? ofRange(words[2], words[3]) : ofLimit(words, 4);
    }
    case 'zrangebyscore':
    case 'zrevrangebyscore':
    case 'zrangebylex':
    case 'zrevrangebylex':
      return ofLimit(words, 4);
    case 'xrange':
    case 'xrevrange':
      return words[4]?.toLowerCase() === 'count' ? atLeastZero(words[5]) : Infinity;
    default:
      return Infinity;
  }
}

/** Positions from the front (0 up) or from the end (-1 down), both included. */
function ofRange(from: string | undefined, to: string | undefined): number {
  const first = integer(from);
  const last = integer(to);
  if (Number.isNaN(first) || Number.isNaN(last)) return 0; // the engine refuses it
  if (first >= 0 === last >= 0) return Math.max(0, last - first + 1);
  // From somewhere at the front to somewhere at the end: all, for a long enough one.
  return first >= 0 ? Infinity : Math.min(-first, last + 1);
}

function ofLimit(words: readonly string[], from: number): number {
  const at = words.findIndex((word, i) => i >= from && word.toLowerCase() === 'limit');
  // What LIMIT skips is walked as well.
  return at < 0 ? Infinity : atLeastZero(words[at + 1]) + atLeastZero(words[at + 2]);
}

/** A negative count means all. */
function atLeastZero(word: string | undefined): number {
  const value = integer(word);
  return Number.isNaN(value) ? 0 : value < 0 ? Infinity : value;
}

function integer(word: string | undefined): number {
  return word !== undefined && /^-?\d{1,19}$/.test(word) ? Number(word) : Number.NaN;
}

/** The refusal as the client reads it. `size`: what was measured; null: nothing was. */
export function refusal(rule: GuardRule, size: number | null): string {
  const about = EXPENSIVE.get(rule.command);
  const limit = rule.above > 0 ? ` above ${rule.above} ${about?.counts ?? 'elements'}` : '';
  const found = size === null ? '' : ` (here ${size})`;
  const hint = about === undefined ? '' : `; use ${about.instead}`;
  return `-ERR guard-refused: ${rule.command.toUpperCase()} is refused${limit} by a rule of this database${found}${hint}\r\n`;
}
