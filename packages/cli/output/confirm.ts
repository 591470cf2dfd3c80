/** Asks before something is lost. Without a terminal there is nobody to ask, and that is an error. */
import type { Context } from '../context.ts';
import { CliError } from '../errors.ts';

export async function confirmed(
  context: Context,
  yes: boolean | undefined,
  question: string,
): Promise<void> {
  if (yes === true) return;
  if (process.stdin.isTTY !== true || context.output.err.isTTY !== true || context.output.json) {
    throw new CliError(
      'usage',
      'not-confirmed',
      `${question} Nobody can be asked here.`,
      'Add --yes to do it without being asked.',
    );
  }
  const { confirm, isCancel } = await import('@clack/prompts');
  // Ctrl-D, or a terminal that is gone, ends the prompt without an answer: it would be waited for with nothing left
  // that could bring it, and the command would end as if all were well.
  const { promise: unanswered, resolve } = Promise.withResolvers<false>();
  const nothingLeft = (): void => resolve(false);
  process.once('beforeExit', nothingLeft);
  const asked = confirm({ message: question, initialValue: false, output: process.stderr });
  const answer = await Promise.race([asked, unanswered]);
  process.off('beforeExit', nothingLeft);
  if (isCancel(answer) || !answer) {
    throw new CliError('interrupted', 'not-confirmed', 'Nothing was changed.', '');
  }
}
