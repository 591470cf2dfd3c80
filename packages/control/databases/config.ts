/**
 * CONFIG SET by a client: settings of the engines that have to hold on every copy of every shard, over
 * restarts, failovers and shards that come later.
 *
 * So they are records, and engines get them as everything else that is recorded. Only the judgement of
 * a value is the engine's: one primary is asked first (it takes all of the settings or none), then they
 * are committed, then every engine gets them; the client hears OK after the commit, and after all
 * primaries have them or were given time to. A process that dies before the commit leaves one engine
 * changed, which the next one corrects when it applies the records; one that dies after it leaves a
 * client that was told nothing, and a change that is made.
 *
 * One change at a time: of two that meet, each is either before or after the other on every engine.
 */
import type { Event } from '../../endpoint/control-protocol.ts';
import { EngineError } from '../../engine/index.ts';
import { readSettings } from '../../resp/table/index.ts';
import { ControlError } from '../errors.ts';
import { checkNotify } from '../resources/rules.ts';
import type { DatabaseRecord } from '../store/records.ts';
import { CONFIG_APPLY_MS, CONFIG_POLL_MS, VERB_DEADLINE_MS } from './limits.ts';
import type { DatabaseLoop } from './loop.ts';

const NOTIFY = 'notify-keyspace-events';

type Settings = Readonly<Record<string, string>>;

export type ConfigAsked = Pick<
  Extract<Event, { kind: 'config-set' }>,
  'database' | 'serial' | 'settings'
>;

export class ConfigChanges {
  readonly #last = new WeakMap<DatabaseLoop, Promise<unknown>>();

  /** Null when it is done; else the error that the client reads. */
  change(loop: DatabaseLoop | undefined, asked: Settings): Promise<string | null> {
    if (loop === undefined) return Promise.resolve('ERR this database is being removed');
    const before = this.#last.get(loop) ?? Promise.resolve();
    const mine = before.then(() => changeOnce(loop, asked).catch(wordsOf));
    this.#last.set(loop, mine);
    return mine;
  }
}

async function changeOnce(loop: DatabaseLoop, asked: Settings): Promise<string | null> {
  // A second look at what a worker let through: what comes from there is a client's.
  const read = readSettings(Object.entries(asked).flat());
  if ('problem' in read) return `ERR ${read.problem}`;
  const { settings } = read;
  checkNotify(settings[NOTIFY] ?? '');
  if (isRecorded(loop.database(), settings)) return null;
  const first = await answering(loop);
  if (first === null) return 'CLUSTERDOWN shard-down: no shard serves; nothing was changed';
  await loop.watch(first).link.configure(settings, VERB_DEADLINE_MS);
  loop.deps.store.write(() => record(loop, settings));
  loop.wake();
  await applied(loop);
  return null;
}

/** A primary that answers: a control process that has just started is not connected to any yet. */
async function answering(loop: DatabaseLoop): Promise<string | null> {
  const { clock } = loop.deps;
  const deadline = clock.ticks() + CONFIG_APPLY_MS;
  for (;;) {
    for (const { phase, primary } of loop.shards()) {
      if (phase !== 'serving' || primary === null) continue;
      if (loop.sighting(primary)?.condition === 'answering') return primary;
    }
    if (clock.ticks() > deadline) return null;
    await clock.sleep(CONFIG_POLL_MS);
  }
}

function isRecorded({ settings, config }: DatabaseRecord, asked: Settings): boolean {
  return Object.entries(asked).every(
    ([name, value]) => (name === NOTIFY ? settings.notifyKeyspaceEvents : config[name]) === value,
  );
}

function record(loop: DatabaseLoop, asked: Settings): void {
  const database = loop.database();
  const { [NOTIFY]: notify = database.settings.notifyKeyspaceEvents, ...config } = asked;
  loop.deps.store.putDatabase({
    ...database,
    settings: { ...database.settings, notifyKeyspaceEvents: notify },
    config: { ...database.config, ...config },
    generation: database.generation + 1,
  });
  const said = Object.entries(asked).map(([name, value]) => `${name} '${value}'`);
  loop.event('config-set', 'info', `A client set ${said.join(', ')}.`, { data: { ...asked } });
}

/** A primary that does not answer gets it when it does: the loop goes on trying. */
async function applied(loop: DatabaseLoop): Promise<void> {
  const { clock } = loop.deps;
  const deadline = clock.ticks() + CONFIG_APPLY_MS;
  const { generation } = loop.database();
  const missing = (): boolean =>
    loop
      .shards()
      .some(
        ({ phase, primary }) =>
          phase === 'serving' && (loop.sighting(primary ?? '')?.configured ?? -1) < generation,
      );
  while (missing() && clock.ticks() < deadline) await clock.sleep(CONFIG_POLL_MS);
}

function wordsOf(error: unknown): string {
  if (error instanceof ControlError) return `ERR CONFIG SET failed - ${error.message}`;
  if (!(error instanceof EngineError)) return 'ERR config-failed: see the log of the control plane';
  if (error.code !== 'engine-refused') {
    return `OUTCOMEUNKNOWN ${error.code}: an engine did not take it now; nothing was recorded, set it again`;
  }
  const said = error.message.replace(/^the engine refused CONFIG SET: /, '');
  return said.startsWith('ERR ') ? said : `ERR ${said}`;
}
