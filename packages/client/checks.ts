/**
 * Options as they come from a program without types, or from a file: each entry of the kit says what it
 * takes as a shape, and what does not fit is refused before anything is done. A misspelt name would else
 * be a setting that nobody made, and a wrong kind (a deadline of '2000', of NaN) one that never holds.
 *
 * Values are named by their kind, texts are never shown: one may be a password in the wrong place.
 */
import { KitError } from './errors.ts';

/** What a value must be, when it is not; undefined: it is. */
export type Check = (value: unknown, name: string) => string | undefined;

/** Throws ERR_CLIENT_OPTION. `where`: the function that was called, as it is written. */
export function check(where: string, value: unknown, shape: Check, name = 'options'): void {
  const wrong = shape(value, name);
  if (wrong !== undefined) throw new KitError('ERR_CLIENT_OPTION', `${where}: ${wrong}`);
}

/** An object with these options and no others. */
export function shape(
  fields: Readonly<Record<string, Check>>,
  required: readonly string[] = [],
): Check {
  const known = Object.keys(fields);
  return (value, name) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return `${name} must be an object, got ${kindOf(value)}`;
    }
    for (const [option, given] of Object.entries(value)) {
      const field = fields[option];
      if (field === undefined) return unknown(option, name, known);
      const wrong = given === undefined ? undefined : field(given, inside(name, option));
      if (wrong !== undefined) return wrong;
    }
    const missing = required.find((option) => Reflect.get(value, option) === undefined);
    return missing === undefined ? undefined : `${inside(name, missing)} is missing`;
  };
}

function inside(name: string, option: string): string {
  return name === 'options' ? option : `${name}.${option}`;
}

function must(test: (value: unknown) => boolean, be: string): Check {
  return (value, name) => (test(value) ? undefined : `${name} must be ${be}, got ${kindOf(value)}`);
}

export function whole(least: number, most = Number.MAX_SAFE_INTEGER): Check {
  const bound = most === Number.MAX_SAFE_INTEGER ? `from ${least} up` : `from ${least} to ${most}`;
  return must(
    (value) => Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most,
    `a whole number ${bound}`,
  );
}

/** Milliseconds; Infinity is for ever. */
export const duration: Check = must(
  (value) => typeof value === 'number' && value > 0,
  'more than 0 ms',
);

export const share: Check = must(
  (value) => typeof value === 'number' && value > 0 && value <= 1,
  'a number above 0, up to 1',
);

export const atLeastNothing: Check = must(
  (value) => typeof value === 'number' && value >= 0,
  'a number from 0 up',
);

export const yesOrNo: Check = must((value) => typeof value === 'boolean', 'true or false');
export const text: Check = must((value) => typeof value === 'string' && value !== '', 'a text');
export const callback: Check = must((value) => typeof value === 'function', 'a function');

export const signal: Check = must(
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    'aborted' in value &&
    'addEventListener' in value,
  'an AbortSignal',
);

export function instance(of: abstract new (...args: never[]) => object): Check {
  return must((value) => value instanceof of, `a ${of.name}`);
}

export function oneOf(...words: readonly string[]): Check {
  return must(
    (value) => typeof value === 'string' && words.includes(value),
    words.map((word) => `'${word}'`).join(' or '),
  );
}

export function list(of: Check): Check {
  return (value, name) => {
    if (!Array.isArray(value)) return `${name} must be a list, got ${kindOf(value)}`;
    for (const [index, entry] of value.entries()) {
      const wrong = of(entry, `${name}[${index}]`);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  };
}

/** `false` (or `true`) in its place turns the matter off (or on) as a whole. */
export function orSwitch(of: Check, ...switches: readonly boolean[]): Check {
  return (value, name) =>
    typeof value === 'boolean' && switches.includes(value) ? undefined : of(value, name);
}

/** The first of them that fits; else what the last one says. */
export function either(...checks: readonly Check[]): Check {
  return (value, name) => {
    let wrong: string | undefined;
    for (const one of checks) {
      wrong = one(value, name);
      if (wrong === undefined) return undefined;
    }
    return wrong;
  };
}

/** For messages: a number as it is, of what may be long or a secret its kind only. */
export function kindOf(value: unknown): string {
  if (value === null || typeof value === 'number' || typeof value === 'boolean') {
    return String(value);
  }
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'string') return value === '' ? 'an empty text' : 'a text';
  if (typeof value === 'object') {
    const { name } = value.constructor ?? {};
    return name === undefined || name === 'Object' ? 'an object' : `a ${name}`;
  }
  return typeof value === 'undefined' ? 'nothing' : `a ${typeof value}`;
}

function unknown(option: string, name: string, known: readonly string[]): string {
  const near = known.find((one) => distance(one.toLowerCase(), option.toLowerCase()) <= 2);
  const hint = near === undefined ? '' : ` Did you mean '${near}'?`;
  return `there is no option '${inside(name, option.slice(0, 40))}'.${hint} There are: ${known.join(', ')}`;
}

/** Letters to put in, take out or change. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + same));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
