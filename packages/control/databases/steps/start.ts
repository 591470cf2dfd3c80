/**
 * Starting and fencing: the only two places where a process of an engine begins or ends.
 *
 * Before a start, whatever runs in the instance's folder unrecorded is killed: a crash between fork
 * and record leaves such a process, and two on one folder would destroy it. Before a dead one
 * follows anybody its files are set aside, and kept until it is a whole copy again (engine rule 1).
 */
import { labelOf } from '../../../engine/index.ts';
import { formatBytes } from '../../catalog/miniature.ts';
import type { FenceReason } from '../../plan/model.ts';
import { ONLY_OLDER_COPY } from '../../plan/shard.ts';
import { engineToStart, wantedEngine } from '../../plan/upgrade.ts';
import type { InstanceRecord, ShardRecord, StartKind } from '../../store/records.ts';
import { launchOf } from '../launch.ts';
import { FENCE_DEADLINE_MS, GOOD_START_MS } from '../limits.ts';
import type { DatabaseLoop } from '../loop.ts';
import { STARTING_EMPTY } from '../problems.ts';
import { commandsAtStart, usersOf } from '../users.ts';
import { settlePorts } from './own-ports.ts';

export async function start(loop: DatabaseLoop, id: string, as: StartKind): Promise<void> {
  const { store, node, clock } = loop.deps;
  const shard = loop.shard(loop.instance(id).shard);
  refuseUnfit(shard, loop.instance(id), as);
  try {
    await nobodyWaits(loop, as);
    await killUnrecorded(loop, loop.instance(id));
    await settlePorts(loop, id);
    const instance = loop.instance(id);
    if (as === 'follow' && instance.phase === 'dead') {
      await node.setAside(instance.dataDir, String(shard.epoch));
    }
    const load = as === 'cold' ? await coldFile(loop, shard, instance) : 'nothing';
    if (load === 'wait') return;
    const database = loop.database();
    const cluster = loop.cluster();
    const tls = await loop.deps.tls(cluster);
    const engine = engineOf(loop, instance, as);
    refuseUnfit(loop.shard(instance.shard), loop.instance(id), as);
    // Before it runs: whoever takes it over after a crash between start and record must know what it is.
    if (instance.engine !== engine) {
      store.decide(() => store.putInstance({ ...loop.instance(id), engine }));
    }
    loop.deps.calm.starts(id);
    const process = await node.start(
      launchOf({
        engine,
        database,
        shards: loop.shards(),
        instances: loop.instances(),
        instance,
        as,
        load,
        tls,
        // Nobody but us gets in before the shard's role is decided and settled.
        users: usersOf(loop, as === 'follow', commandsAtStart(loop, engine)),
        secrets: loop.secrets(),
        announceHost: loop.deps.hostName(cluster),
        directHosts: loop.deps.directHosts ?? [],
      }),
    );
    store.decide(() => {
      store.putInstance({
        ...loop.instance(id),
        phase: 'running',
        start: as,
        process,
        synced: false,
        engine,
        threads: database.sizing.ioThreads,
        startedAt: clock.now(),
        endedAt: 0,
      });
      hadItsTurn(loop, id, engine);
    });
  } catch (error) {
    loop.watch(id).starts.failed();
    throw error;
  }
}

/** Clients of another shard, that is; for a cold start those of this one wait. */
async function nobodyWaits(loop: DatabaseLoop, as: StartKind): Promise<void> {
  const wait = as === 'cold' ? null : loop.deps.calm.beforeStart();
  if (wait !== null) await wait;
}

/** One that is gone from this machine cannot be started: then the one in use is. */
function engineOf(loop: DatabaseLoop, instance: InstanceRecord, as: StartKind): string {
  const { node, log } = loop.deps;
  const inUse = labelOf(node.engine);
  const label = engineToStart(loop.database().upgrade, inUse, instance, as === 'cold');
  if (label === inUse || node.known(label) !== null) return label;
  log('warn', 'an engine is not on this machine any more', { label, instead: inUse });
  return inUse;
}

/** A process that maintenance was to make anew: whatever ended the old one. */
function hadItsTurn(loop: DatabaseLoop, id: string, engine: string): void {
  const database = loop.database();
  const { maintenance, upgrade } = database;
  if (maintenance === null || !maintenance.pending.includes(id)) return;
  // Started from its files as what it was before: its turn is still to come.
  if (upgrade !== null && engine !== wantedEngine(upgrade, engine)) return;
  const pending = maintenance.pending.filter((each) => each !== id);
  loop.deps.store.putDatabase({ ...database, maintenance: { ...maintenance, pending } });
}

/**
 * What engine rule 30 forbids is checked where it would happen, not only where it is planned: when the
 * step begins, and once more with nothing between it and the start.
 */
function refuseUnfit(shard: ShardRecord, instance: InstanceRecord, as: StartKind): void {
  const first = as === 'first-primary' || as === 'first-replica';
  if (first && shard.phase !== 'new') {
    throw new Error(`shard ${shard.index} held data: no first start`);
  }
  if (as === 'cold' && (shard.phase !== 'down' || shard.primary !== instance.id)) {
    throw new Error(`shard ${shard.index} is not to be started from ${instance.id}`);
  }
  if (as === 'follow' && (shard.primary === null || shard.primary === instance.id)) {
    throw new Error(`shard ${shard.index} has nobody for ${instance.id} to follow`);
  }
  if (instance.process !== null) throw new Error(`instance ${instance.id} has a process`);
}

async function killUnrecorded(loop: DatabaseLoop, instance: InstanceRecord): Promise<void> {
  const { node } = loop.deps;
  for (const found of await node.find(instance.dataDir)) {
    await node.kill(found.process, FENCE_DEADLINE_MS);
    loop.tell('stray-killed', 'warning', 'An engine that nobody had recorded was ended.', {
      shard: instance.shard,
      instance: instance.id,
    });
  }
}

/**
 * Only the file that the store calls current counts; anything else stays where it is, unread. A
 * start that ended between setting the file aside as read and recording that it serves has used it
 * up only on disk: the record is what counts.
 */
async function coldFile(
  loop: DatabaseLoop,
  shard: ShardRecord,
  instance: InstanceRecord,
): Promise<'nothing' | 'files' | 'wait'> {
  const { saved } = shard;
  if (saved !== null && saved.instance === instance.id) {
    if (await loop.deps.node.reviveDataFile(instance.dataDir, saved.sha256)) {
      const message = `Shard ${shard.index} starts from the file of the last stop once more: the start before this one ended within milliseconds of serving. What was written in these is lost.`;
      loop.tell('saved-file-again', 'warning', message, {
        shard: shard.index,
        instance: instance.id,
      });
    }
    const file = await loop.deps.node.dataFile(instance.dataDir);
    if (file !== null && file.sha256 === saved.sha256) return 'files';
  }
  if (saved === null && shard.epoch === 0) return 'nothing';
  if (shard.reason.code === STARTING_EMPTY) return 'nothing';
  if (await otherFile(loop, shard, instance)) return 'wait';
  const { store } = loop.deps;
  const why =
    saved === null
      ? 'nothing of it was persisted'
      : `the file of the last stop is missing, or no data file any more (what is there is kept below ${instance.dataDir})`;
  store.write(() => {
    store.putShard({
      ...loop.shard(shard.index),
      reason: { code: STARTING_EMPTY, message: `It started empty: ${why}.` },
    });
    loop.event('data-lost', 'error', `Shard ${shard.index} starts empty: ${why}.`, {
      shard: shard.index,
      instance: instance.id,
    });
  });
  return 'nothing';
}

/**
 * A data file is there that is not the one the store calls current: an older copy of the store was put
 * back after a later stop, or a stop was broken off, or somebody changed it. How old it is nobody can
 * say, so it waits for the user as an older copy does; empty it could start at any time.
 */
async function otherFile(
  loop: DatabaseLoop,
  shard: ShardRecord,
  instance: InstanceRecord,
): Promise<boolean> {
  const { store, node, clock } = loop.deps;
  const file = await node.dataFile(instance.dataDir);
  if (file === null) return false;
  const { path, bytes, sha256 } = file;
  const { name } = loop.cluster();
  const message = `The store does not know the data file that is there (${path}, ${formatBytes(bytes)}): the store is an older copy, or the stop that wrote the file was broken off, or it was changed. It serves when you say so: cinnabar failover ${name} --accept-data-loss. To begin empty instead, move it away before.`;
  store.write(() => {
    store.putShard({
      ...loop.shard(shard.index),
      saved: { instance: instance.id, epoch: shard.epoch, sha256, bytes, at: clock.now() },
      reason: { code: ONLY_OLDER_COPY, message },
    });
    loop.event(ONLY_OLDER_COPY, 'error', message, { shard: shard.index, instance: instance.id });
  });
  return true;
}

const WORDS: Readonly<Record<FenceReason, string>> = {
  died: 'ended by itself, or was killed by somebody else',
  hung: 'did not answer and used no CPU: it was ended',
  busy: 'did not answer for too long although it worked: it was ended',
  script: 'was blocked by a script for too long: it was ended',
  stray: 'called itself primary against the records: it was ended',
  dismissed: 'is not needed any more: it was ended',
  maintenance: 'is replaced, as planned: the old process was ended',
  switch: 'did not answer as it should in the middle of a planned switch: it was ended',
};

/** Resolves only when the process is known to be gone; what follows may rely on it. */
export async function fence(loop: DatabaseLoop, id: string, reason: FenceReason): Promise<void> {
  const { store, node } = loop.deps;
  const instance = loop.instance(id);
  const { phase, primary } = loop.shard(instance.shard);
  if (phase === 'serving' && primary === id) loop.times.alarm(instance.shard);
  if (instance.process !== null) await node.kill(instance.process, FENCE_DEADLINE_MS);
  // One that dies as soon as it runs would be started again without end, its files moved each time.
  const lived = Math.abs(loop.deps.clock.now() - instance.startedAt);
  if (reason === 'died' && lived < GOOD_START_MS) loop.watch(id).starts.failed();
  else loop.watch(id).starts.succeeded();
  store.decide(() => {
    const now = loop.instance(id);
    store.putInstance({
      ...now,
      phase: now.phase === 'running' ? 'dead' : now.phase,
      process: null,
      synced: false,
      endedAt: loop.deps.clock.now(),
    });
    const shard = loop.shard(instance.shard);
    const role = roleOf(shard, instance);
    if (role === 'primary' && reason !== 'died' && shard.phase === 'serving') {
      store.putShard({
        ...shard,
        reason: { code: 'fenced-by-deadline', message: `Its primary ${WORDS[reason]}.` },
      });
    }
    loop.event(
      reason === 'died' ? 'engine-died' : `engine-fenced-${reason}`,
      role === 'primary' ? 'error' : reason === 'maintenance' ? 'info' : 'warning',
      `The ${role} of shard ${shard.index} ${WORDS[reason]}.`,
      { shard: shard.index, instance: id, data: { pid: instance.process?.pid ?? null } },
    );
  });
  loop.watch(id).ended();
  loop.times.mark(instance.shard, 'fenced');
  if (phase === 'serving' && primary === id) await drainReplicas(loop, instance);
}

/** What the plan would ask for next: whoever may follow the dead primary has to have read all it sent. */
async function drainReplicas(loop: DatabaseLoop, dead: InstanceRecord): Promise<void> {
  const replicas = loop.instances().filter(({ id, shard, phase, synced }) => {
    return shard === dead.shard && id !== dead.id && phase === 'running' && synced;
  });
  await Promise.all(replicas.map(({ id }) => loop.watch(id).refresh(true)));
}

function roleOf(shard: ShardRecord, instance: InstanceRecord): string {
  return shard.primary === instance.id || shard.successor === instance.id ? 'primary' : 'replica';
}
