/** Bringing a running engine to where it should be: whom it follows, whom it knows, its settings. */
import type { EngineFacts } from '../../../engine/contract.ts';
import { bindTo } from '../../../engine/index.ts';
import { CLIENT_USER } from '../../auth/users.ts';
import { shardsDirect, shardsRelayed } from '../../store/records.ts';
import { isClustered, liveSettings, votingOff } from '../launch.ts';
import {
  FACTS_DEADLINE_MS,
  MEET_AGAIN_MS,
  SWITCH_PUBLISH_MS,
  VERB_DEADLINE_MS,
} from '../limits.ts';
import type { DatabaseLoop } from '../loop.ts';
import { SETTLE_PORTS } from '../shard-ports.ts';
import { commandsOf, usersOf } from '../users.ts';
import { settleClientPort } from './client-port.ts';

/**
 * In a cluster an engine follows only whom it knows, and knows to be a primary. News of that comes by
 * gossip, which nodes send at random, and over a connection that one of them may not have yet. So who
 * refuses is told first hand: an introduction carries the role of whoever introduces itself. The other
 * reason to refuse is that it has slots or data of its own as a primary: then nothing that is said helps,
 * and the plan ends it as a stray, to start anew as a follower.
 */
export async function follow(loop: DatabaseLoop, id: string, primaryId: string): Promise<void> {
  const { id: node, host, port } = loop.instance(primaryId);
  try {
    await loop.watch(id).link.follow({ id: node, host, port }, VERB_DEADLINE_MS);
  } catch (error) {
    if (isClustered(loop.database())) await meet(loop, id, primaryId);
    throw error;
  }
  await loop.watch(id).refresh();
}

/**
 * An engine that the cluster does not know yet is introduced by a member. Asked for again while it is not seen
 * to be known, which takes a tenth of a second or two: only the looks are repeated, not the introduction.
 */
export async function meet(loop: DatabaseLoop, id: string, through: string): Promise<void> {
  const pair = `${through} ${id}`;
  const now = loop.deps.clock.ticks();
  for (const [each, at] of loop.introduced) {
    if (now - at >= MEET_AGAIN_MS) loop.introduced.delete(each);
  }
  if (!loop.introduced.has(pair)) {
    const { host, port, busPort } = loop.instance(id);
    await loop.watch(through).link.meet(host, port, busPort, VERB_DEADLINE_MS);
    loop.introduced.set(pair, now);
  }
  await Promise.all([loop.watch(through).refresh(), loop.watch(id).refresh()]);
}

export async function configure(loop: DatabaseLoop, id: string): Promise<void> {
  const applied = await applySettings(loop, id);
  const instance = loop.instance(id);
  const { phase, primary, successor } = loop.shard(instance.shard);
  if (phase === 'serving' && primary === id && successor === null) await endPause(loop, id);
  // Last: noted before, a pause that could not be ended was never asked about again (storm seed 1317454671).
  loop.watch(id).configuredAt(applied);
}

/**
 * A control process that was killed during an orderly stop left its primary with writes paused, for
 * as long as the file was allowed to take. Only for one that is primary in fact and on record: where
 * a successor was named, the pause is what keeps writes from being lost (engine rule 4).
 */
export async function endPause(loop: DatabaseLoop, id: string): Promise<void> {
  const { link } = loop.watch(id);
  const { role } = await link.facts(FACTS_DEADLINE_MS);
  const paused = loop.pausing.has(loop.instance(id).shard);
  if (role === 'primary' && !paused) await link.unpause(VERB_DEADLINE_MS);
}

/**
 * Settings and users as recorded now; every one of them, so it does not matter what was before.
 * @returns the generation that they are of: the caller notes it when all that goes with it is done.
 */
export async function applySettings(loop: DatabaseLoop, id: string): Promise<number> {
  const database = loop.database();
  const watch = loop.watch(id);
  const tls = await loop.deps.tls(loop.cluster());
  const relayed = shardsRelayed(database.settings);
  if (relayed) {
    // Before anybody who comes to the engine itself is sent away.
    await loop.quiet(SETTLE_PORTS, SWITCH_PUBLISH_MS);
    await loop.deps.publishNow(SWITCH_PUBLISH_MS);
  }
  await watch.link.configure(
    {
      ...liveSettings(database),
      ...votingOff(database),
      'tls-cert-file': tls.certFile,
      'tls-key-file': tls.keyFile,
      'tls-ca-cert-file': tls.caFile,
    },
    VERB_DEADLINE_MS,
  );
  await openTo(loop, id);
  if (isClustered(database)) await settleClientPort(loop, id);
  const users = usersOf(loop, true, await commandsOf(loop, id));
  for (const user of users) {
    // On all engines in the same moment, when all else is done (shut-out.ts).
    if (relayed && user.name === CLIENT_USER) continue;
    await watch.link.setUser(user, VERB_DEADLINE_MS);
  }
  return database.generation;
}

/**
 * Where clients are direct (OSSCluster) an engine listens for other machines as well, and the policy may
 * have changed since it was started. Said only when it differs: an engine that is told closes its
 * listeners for a moment.
 */
async function openTo(loop: DatabaseLoop, id: string): Promise<void> {
  const { directHosts = [] } = loop.deps;
  if (directHosts.length === 0 || !isClustered(loop.database())) return;
  const direct = shardsDirect(loop.database().settings);
  const bind = bindTo([loop.instance(id).host, ...(direct ? directHosts : [])]);
  const { link } = loop.watch(id);
  const now = await link.readSettings(['bind'], VERB_DEADLINE_MS);
  if (now['bind'] !== bind) await link.configure({ bind }, VERB_DEADLINE_MS);
}

/**
 * A primary takes a new replication id when its first replica attaches. Until the next sample the
 * record would name the old one, and a primary that died in that second would leave a whole copy of
 * what the record calls another history: nobody could be promoted.
 */
function noteHistory(loop: DatabaseLoop, index: number, copy: EngineFacts): void {
  const shard = loop.shard(index);
  if (shard.phase !== 'serving' || shard.primary === null) return;
  const primary = loop.watch(shard.primary).sighting().facts;
  if (primary?.role !== 'primary' || primary.replicationId !== copy.replicationId) return;
  const { replicationId, offset } = primary;
  loop.deps.store.putShard({ ...shard, replicationId, offset });
}

export async function noteCopy(loop: DatabaseLoop, id: string, whole: boolean): Promise<void> {
  const { store, node } = loop.deps;
  const facts = loop.watch(id).sighting().facts;
  store.decide(() => {
    const instance = loop.instance(id);
    if (instance.phase !== 'running' || facts === null) return;
    store.putInstance({
      ...instance,
      synced: whole,
      replicationId: facts.replicationId,
      offset: facts.offset,
    });
    if (whole) {
      noteHistory(loop, instance.shard, facts);
      loop.event(
        'replica-in-sync',
        'info',
        `A replica of shard ${instance.shard} holds a whole copy.`,
        {
          shard: instance.shard,
          instance: id,
        },
      );
    }
  });
  if (whole) await node.dropAside(loop.instance(id).dataDir);
}
