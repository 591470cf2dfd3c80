/**
 * What to type again. In a checkout, where npm or npx started this, the command is not on PATH: whatever advice names
 * it, wherever it was written, the API's too, is made right where it is shown.
 */

/** The command in a sentence, with what follows it; not the end of a path, not what is right already, nor an account. */
const COMMAND = /(?<![\w./-]|npx |--account )cinnabar(?= [a-z[-])/g;

export function typed(text: string, env: NodeJS.ProcessEnv): string {
  const byNpm = ['start', 'npx'].includes(env['npm_lifecycle_event'] ?? '');
  return byNpm ? text.replace(COMMAND, 'npx cinnabar') : text;
}
