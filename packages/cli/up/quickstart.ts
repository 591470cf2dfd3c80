/**
 * The first minute: on the first start ever a cache named `quickstart` is made, and the terminal shows
 * how to connect to it. Later starts find it and say so, or complete it if the first one was ended in
 * between; a user who deleted it does not get it back.
 *
 * The connection string holds the access key. It goes to the standard output of this foreground
 * process and nowhere else: not to a journal (systemd sets JOURNAL_STREAM), not to a log, not to a
 * child's arguments.
 */
import type { FromControl } from '../../control/boot-protocol.ts';
import type { Cache } from '../api/shapes.ts';
import { createCache } from '../commands/create.ts';
import { completion, isUnfinished, wasDeleted } from '../commands/unfinished.ts';
import type { Context } from '../context.ts';
import { OPERATION_TIMEOUT_S } from '../limits.ts';
import { connectionString } from '../output/connection.ts';
import { Steps } from '../output/steps.ts';
import { plural } from '../output/text.ts';
import { tellProblems } from './found.ts';

const QUICKSTART = 'quickstart';

type Ready = Extract<FromControl, { type: 'ready' }>;

/** Makes it on the first start; answers it if it is there. `signal`: this Cinnabar stops. */
export async function makeQuickstart(
  context: Context,
  ready: Ready,
  signal: AbortSignal,
): Promise<Cache | null> {
  const api = context.api();
  const left = ready.firstStart ? undefined : (await api.caches()).find(isQuickstart);
  const unfinished = left !== undefined && isUnfinished(left, {}) && !(await wasDeleted(api, left));
  if (ready.firstStart || unfinished) {
    const started = performance.now();
    const steps = new Steps(context.output);
    await createCache(
      context,
      QUICKSTART,
      {},
      { wait: true, timeoutMs: OPERATION_TIMEOUT_S * 1000, signal },
    );
    steps.show({
      id: QUICKSTART,
      title: `Cache ${QUICKSTART}`,
      state: 'done',
      detail: 'Balanced_B1, high availability, TLS',
      ms: performance.now() - started,
    });
  }
  const caches = await api.caches();
  const others = caches.filter((cache) => !isQuickstart(cache)).length;
  if (!ready.firstStart && caches.length > 0) {
    context.output.note(`\nFound ${plural(caches.length, 'cache')} as left.`);
  } else if (others > 0) context.output.note(`\n${plural(others, 'other cache')}.`);
  tellProblems(context, caches);
  return caches.find(isQuickstart) ?? null;
}

const isQuickstart = ({ cluster }: Cache): boolean => cluster.name === QUICKSTART;

export async function quickstart(
  context: Context,
  ready: Ready,
  signal: AbortSignal,
): Promise<void> {
  const { output } = context;
  const cache = await makeQuickstart(context, ready, signal);
  const inJournal = (context.env['JOURNAL_STREAM'] ?? '') !== '';
  if (inJournal || cache === null || cache.database === null || areKeysOff(cache.database)) {
    tellHowToConnect(context, cache);
    return;
  }
  const { database, cluster } = cache;
  const keys = await context.api().keys(QUICKSTART);
  const { engine, api, caFile, home } = ready.status;
  output.line();
  output.line(connectionString(cluster, database, keys.primaryKey));
  output.line();
  output.pairs([
    ['Engine', `${engine.name} ${engine.version} (${engine.origin})`],
    ['API', api.http ?? api.https ?? 'off'],
    ['API token', `${home}/api-token`],
    ['CA certificate', caFile],
    ['Try', output.typed('cinnabar connect quickstart')],
    ['Ctrl-C', 'saves the data and stops; the next start has them again'],
    ['If a process crashes', 'its replica takes over with the data'],
    ['If the machine crashes', 'the data are lost: they are in memory only'],
  ]);
  output.line();
  output.note('Ctrl-C stops it.');
}

const areKeysOff = (database: NonNullable<Cache['database']>): boolean =>
  database.properties.accessKeysAuthentication === 'Disabled';

/** Without its key; or what is in the way. */
export function tellHowToConnect({ output }: Context, cache: Cache | null): void {
  if (cache === null) {
    output.note(
      'There is no cache named quickstart: --quickstart makes it on the first start ever. Make it: cinnabar create quickstart',
    );
  } else if (cache.database === null) {
    output.note(
      `The cache quickstart has no database. Make one: ${completion(cache.cluster)}. Remove the rest: cinnabar delete quickstart`,
    );
  } else if (areKeysOff(cache.database)) {
    output.note('Its access keys are off: cinnabar update quickstart --access-keys on');
  } else {
    output.note('Connect: cinnabar connect quickstart. Its keys: cinnabar keys list quickstart');
  }
}

/** Of a Cinnabar that runs already: nothing is made. */
export async function tellQuickstart(context: Context): Promise<void> {
  tellHowToConnect(context, (await context.api().caches()).find(isQuickstart) ?? null);
}
