/**
 * Options that a newer engine has and an older one has not, of commands that both know; and whether a
 * command uses one.
 */
import { MOST_ARGUMENTS_READ } from '../limits.ts';
import { type ArgumentSpec, type ArgumentSpecs, fits, tokensOf } from './arguments.ts';

export interface NewerOptions {
  /** Full name, lower case. */
  readonly command: string;
  /** Upper case. */
  readonly tokens: readonly string[];
  /** What the older engine understands. */
  readonly known: readonly ArgumentSpec[];
}

export function newerOptions(older: ArgumentSpecs, newer: ArgumentSpecs): NewerOptions[] {
  return Object.entries(newer).flatMap(([command, specs]) => {
    const known = older[command];
    if (known === undefined) return [];
    const before = tokensOf(known);
    const tokens = [...tokensOf(specs)].filter((token) => !before.has(token));
    return tokens.length === 0 ? [] : [{ command, tokens, known }];
  });
}

/**
 * The option that the older engine does not know, or null. Only what stands there and cannot be read
 * without it is one: a value or a key that is the same word is not.
 *
 * @param given the arguments, the command's name not among them
 * @param isKey whether the argument at this place is a key
 */
export function newerOption(
  { tokens, known }: NewerOptions,
  given: readonly string[],
  isKey: (at: number) => boolean,
): string | null {
  const found = given.find((word, at) => tokens.includes(word.toUpperCase()) && !isKey(at));
  if (found === undefined) return null;
  return given.length <= MOST_ARGUMENTS_READ && fits(known, given) ? null : found.toUpperCase();
}
