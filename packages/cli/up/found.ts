/** What a start has found: the caches that are there, and what is wrong with them. No secrets. */
import type { Cache } from '../api/shapes.ts';
import { problemsOf } from '../commands/show.ts';
import type { Context } from '../context.ts';
import { plural } from '../output/text.ts';

const NAMES_SHOWN = 5;

export async function found(context: Context): Promise<void> {
  const caches = await context.api().caches();
  context.output.note('');
  if (caches.length === 0) {
    context.output.note(`No cache yet. Make one: cinnabar create my-cache`);
    return;
  }
  const names = caches.map((cache) => cache.cluster.name);
  const more = names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : '';
  const shown = names.slice(0, NAMES_SHOWN).join(', ') + more;
  context.output.note(`${plural(caches.length, 'cache')}: ${shown}. See: cinnabar list`);
  tellProblems(context, caches);
}

export function tellProblems(context: Context, caches: readonly Cache[]): void {
  for (const cache of caches) {
    for (const { message } of problemsOf(cache)) {
      context.output.warn(`${cache.cluster.name}: ${message}`);
    }
  }
}
