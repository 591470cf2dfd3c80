/**
 * What `npm run bench`, `soak` and `mutants` have in common: help, and an exit code that tells a wrong
 * call (2) and a run that broke off (3) from a judgement (0 and 1). A wrong word must never run nothing
 * and call that clean.
 */

/** What was wrong with the words, and which there are. */
export class WrongCall extends Error {
  override readonly name = 'WrongCall';
}

export const WRONG_CALL = 2;
export const BROKE_OFF = 3;

export const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

export async function command(usage: string, main: () => Promise<number>): Promise<void> {
  if (process.argv.slice(2).some((word) => word === '--help' || word === '-h')) {
    process.stdout.write(`${usage}\n`);
    return;
  }
  // An error that nobody waits for is no verdict either. What must end with this process knows its end.
  process.on('uncaughtException', (error) => {
    say(error.stack ?? error.message);
    process.exit(BROKE_OFF);
  });
  process.exitCode = await main().catch(codeOf(usage));
  // Of what broke off threads and sockets may be left, and would keep the process for ever.
  if (process.exitCode === BROKE_OFF) process.stdout.write('', () => process.exit());
}

function codeOf(usage: string): (error: unknown) => number {
  return (error) => {
    const wrong = wordsOf(error);
    if (wrong === null)
      say(error instanceof Error ? (error.stack ?? error.message) : String(error));
    else say(`${wrong}\n\n${usage}`);
    return wrong === null ? BROKE_OFF : WRONG_CALL;
  };
}

function wordsOf(error: unknown): string | null {
  if (error instanceof WrongCall) return error.message;
  if (!(error instanceof Error)) return null;
  const ofParser = (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true;
  // Its second sentence is about files whose names begin with a dash.
  return ofParser ? (error.message.split('. ')[0] ?? error.message) : null;
}

/** A number of the command line, written out: no `1e3`, no `0x10`, nothing empty. */
export function wholeNumber(option: string, text: string, from: number, to: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= from && value <= to) return value;
  throw new WrongCall(`${option}: '${text}' is not a whole number from ${from} to ${to}`);
}

/** One of the words there are. */
export function oneOf<T extends string>(option: string, text: string, words: readonly T[]): T {
  const found = words.find((word) => word === text);
  if (found !== undefined) return found;
  throw new WrongCall(`${option}: there is no '${text}'. There are: ${words.join(', ')}`);
}
