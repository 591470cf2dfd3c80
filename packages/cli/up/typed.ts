import type { Context } from '../context.ts';

/** What to type again: in a checkout, where npm or npx started this, the command is not on PATH. */
export function typed(context: Context): string {
  return ['start', 'npx'].includes(context.env['npm_lifecycle_event'] ?? '')
    ? 'npx cinnabar'
    : 'cinnabar';
}
