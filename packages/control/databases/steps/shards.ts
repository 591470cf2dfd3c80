/** Shards that come and go while others serve. */
import { ControlError } from '../../errors.ts';
import { subtract } from '../../plan/slot-ranges.ts';
import { liveSettings } from '../launch.ts';
import { joiningShard, type PlannedInstance, planInstance } from '../layout.ts';
import { FACTS_DEADLINE_MS, VERB_DEADLINE_MS } from '../limits.ts';
import type { DatabaseLoop } from '../loop.ts';
import { record } from './allocate.ts';
import { copyFunctions } from './functions.ts';

/** The missing ones, each with a pair: TAKEOVER on the second one serves at once (engine rule 14). */
export async function addShards(loop: DatabaseLoop): Promise<void> {
  const { store, clock } = loop.deps;
  const database = loop.database();
  const present = new Set(loop.shards().map((shard) => shard.index));
  const taken = new Set(store.ports().map((claim) => claim.port));
  const shards = Array.from({ length: database.sizing.shards }, (_, index) => index)
    .filter((index) => !present.has(index))
    .map((index) => joiningShard(database, index, clock.ticks()));
  const planned: PlannedInstance[] = [];
  for (const { index } of shards) {
    planned.push(await planInstance(loop.deps, database, index, 'first-primary', taken));
    planned.push(await planInstance(loop.deps, database, index, 'first-replica', taken));
  }
  store.write(() => {
    // Asked for otherwise meanwhile: the next look plans for that.
    if (loop.database().sizing.shards !== database.sizing.shards) return;
    for (const shard of shards) store.putShard(shard);
    record(loop, planned);
    const message =
      shards.length === 1
        ? 'A shard is being started; its slots follow.'
        : `${shards.length} shards are being started; their slots follow.`;
    loop.event('shards-added', 'info', message);
  });
}

/** The endpoint sends new functions to it since it serves: once both dumps are the same they stay so. */
export async function admit(loop: DatabaseLoop, index: number): Promise<void> {
  const { store } = loop.deps;
  const shard = loop.shard(index);
  const model = loop.shards().find((s) => s.membership === 'member' && s.phase === 'serving');
  if (model?.primary == null || shard.primary === null) throw new Error('no shard to copy from');
  await copyFunctions(loop, model.primary, shard.primary);
  await verifySettings(loop, shard.primary);
  store.write(() => {
    const now = loop.shard(index);
    if (now.phase !== 'serving' || now.primary !== shard.primary) return;
    store.putShard({ ...now, membership: 'member' });
    loop.event('shard-joined', 'info', `Shard ${index} is ready for slots.`, { shard: index });
  });
}

/** Read back, because a setting that an engine took otherwise would show first under load. */
async function verifySettings(loop: DatabaseLoop, id: string): Promise<void> {
  const wanted = liveSettings(loop.database());
  const names = ['maxmemory', 'maxmemory-policy', 'maxclients', 'cluster-node-timeout'];
  const got = await loop.watch(id).link.readSettings(names, VERB_DEADLINE_MS);
  const wrong = names.find((name) => name in got && got[name] !== wanted[name]);
  if (wrong === undefined) return;
  loop.reconfigure();
  throw new ControlError(
    'settings-differ',
    409,
    `A new shard has ${wrong} ${got[wrong]} instead of ${wanted[wrong]}; it is set again.`,
  );
}

/**
 * The point of no return of a shard: asked of the engine itself once more, whatever was planned. One
 * that owns a slot or holds a key is not removed.
 */
export async function retireShard(loop: DatabaseLoop, index: number): Promise<void> {
  const { store } = loop.deps;
  const shard = loop.shard(index);
  const { link } = loop.watch(shard.primary ?? '');
  const [facts, moves] = await Promise.all([
    link.facts(FACTS_DEADLINE_MS),
    link.slotMoves(FACTS_DEADLINE_MS),
  ]);
  const over = new Set(['success', 'failed', 'cancelled']);
  const owned = facts.cluster?.slots.length ?? 0;
  const moving = moves?.some((each) => !over.has(each.state)) ?? false;
  if (owned > 0 || facts.keys > 0 || moving) {
    throw new ControlError(
      'shard-not-empty',
      409,
      `Shard ${index} still has ${owned > 0 ? 'slots' : moving ? 'slots on their way' : `${facts.keys} keys`}; it is not removed.`,
    );
  }
  store.write(() => {
    const now = loop.shard(index);
    if (now.slots.length > 0 || index < loop.database().sizing.shards) return;
    store.putShard({
      ...now,
      phase: 'leaving',
      reason: { code: 'leaving', message: 'All its slots have moved; its engines are removed.' },
    });
    loop.event('shard-leaving', 'info', `Shard ${index} is empty and is removed.`, {
      shard: index,
    });
  });
  loop.deps.publish(loop.id);
}

export async function removeShard(loop: DatabaseLoop, index: number): Promise<void> {
  const { store } = loop.deps;
  store.write(() => {
    const shard = store.shard(loop.id, index);
    if (shard?.phase !== 'leaving' || subtract(shard.slots, []).length > 0) return;
    store.removeShard(loop.id, index);
    loop.event('shard-removed', 'info', `Shard ${index} was removed.`, { shard: index });
  });
}
