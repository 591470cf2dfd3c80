/**
 * The end of a planned switch, whichever it is: the successor serves, the old primary stays, or the
 * wish is given up. Also what both halves of it share.
 */
import { SWITCHING } from '../../../endpoint/control-protocol.ts';
import type { EngineLink, StreamFacts } from '../../../engine/contract.ts';
import { nextTryMs } from '../../plan/handover.ts';
import type { ShardRecord, StateReason } from '../../store/records.ts';
import { reach } from '../failpoints.ts';
import { GOING_ON_MS, LINK_DEADLINE_MS, SWITCH_PUBLISH_MS, SWITCH_VERB_MS } from '../limits.ts';
import type { DatabaseLoop } from '../loop.ts';
import { failOperation } from '../progress.ts';
import { noteArranged } from './arrange.ts';
import { letGoOn } from './succession.ts';

/** What both said when they agreed; null for an old primary that is dead. */
export interface Agreement {
  readonly old: StreamFacts | null;
  readonly next: StreamFacts;
}

/** The plan saw that both agree: after a crash in the middle, or when an answer was lost. */
export async function finishHandover(loop: DatabaseLoop, index: number): Promise<void> {
  const { primary, successor, phase } = loop.shard(index);
  if (phase !== 'switching' || primary === null || successor === null) return;
  const links: EngineLink[] = [];
  try {
    const nextLink = await connect(loop, successor);
    links.push(nextLink);
    const next = await nextLink.stream(SWITCH_VERB_MS);
    let oldLink: EngineLink | null = null;
    if (loop.instance(primary).phase === 'running') {
      oldLink = await connect(loop, primary);
      links.push(oldLink);
    }
    const old = oldLink === null ? null : await oldLink.stream(SWITCH_VERB_MS);
    if (next.role !== 'primary' || old?.role === 'primary') return;
    await finish(loop, index, { old, next, oldLink });
  } finally {
    for (const link of links) link.close();
  }
}

/** The successor serves: recorded, and nobody is left waiting on either side. */
export async function finish(
  loop: DatabaseLoop,
  index: number,
  agreed: Agreement & { readonly oldLink: EngineLink | null },
  released = (): void => undefined,
): Promise<void> {
  const before = loop.shard(index);
  const { successor } = before;
  if (successor === null || before.primary === null) return;
  // The watches may believe for seconds what was true before; a stray primary would be fenced.
  if (agreed.old !== null) loop.watch(before.primary).learn(agreed.old);
  loop.watch(successor).learn(agreed.next);
  loop.deps.store.decide(() => crownSuccessor(loop, loop.shard(index), agreed.next));
  const letGo = async (): Promise<void> => {
    await reach('release:before');
    await letGoOn(loop, index, { node: successor, reason: SWITCHING });
    released();
    await reach('release:after');
  };
  await Promise.all([letGo(), agreed.oldLink === null ? null : endOldPause(agreed.oldLink)]);
  await loop.deps.clock.sleep(GOING_ON_MS);
  loop.deps.publish(loop.id);
  await Promise.all([before.primary, successor].map((id) => loop.watch(id).refresh()));
}

function crownSuccessor(loop: DatabaseLoop, shard: ShardRecord, facts: StreamFacts): void {
  const { store, clock } = loop.deps;
  const { successor } = shard;
  if (shard.phase !== 'switching' || successor === null) return;
  const operation = shard.handover?.operation ?? null;
  store.putShard({
    ...shard,
    phase: 'serving',
    primary: successor,
    successor: null,
    replicationId: facts.replicationId,
    offset: facts.offset,
    handover: null,
    reason: { code: 'running', message: '' },
  });
  store.putInstance({
    ...loop.instance(successor),
    synced: true,
    replicationId: facts.replicationId,
    offset: facts.offset,
  });
  loop.event(
    'shard-switched',
    'info',
    `Shard ${shard.index}: a replica took over from the primary, as planned.`,
    {
      shard: shard.index,
      instance: successor,
      data: {
        epoch: shard.epoch,
        from: shard.primary,
        tookMs: Math.round(clock.ticks() - shard.decidedAt),
        operation,
      },
    },
  );
}

/** It said itself that it is a replica: now it may speak. WAIT there would wait for ever (engine rule 4). */
async function endOldPause(old: EngineLink): Promise<void> {
  await reach('unpause:before');
  try {
    await old.unpause(SWITCH_VERB_MS);
    await old.unblockWaits(SWITCH_VERB_MS);
  } catch {
    // The pause ends by itself; a replica that is gone has nobody waiting.
  }
  await reach('unpause:after');
}

/** The successor is known to be unable to take over: the old primary stays, and goes on. */
export async function undoHandover(loop: DatabaseLoop, index: number, why: string): Promise<void> {
  const { store } = loop.deps;
  const problem: StateReason = { code: why, message: `The switch was undone: ${why}.` };
  store.write(() => {
    loop.lease();
    const shard = loop.shard(index);
    if (shard.phase !== 'switching') return;
    store.putShard({
      ...shard,
      phase: 'serving',
      successor: null,
      epoch: shard.epoch + 1,
      reason: { code: 'running', message: '' },
      handover: afterTry(loop, shard, problem),
    });
    loop.event(
      'switch-undone',
      'warning',
      `Shard ${index}: the planned switch was undone (${why}); its primary stays.`,
      { shard: index, instance: shard.primary ?? '' },
    );
  });
  const { primary } = loop.shard(index);
  if (primary !== null) await quietly((ms) => loop.watch(primary).link.unpause(ms));
  await loop.deps.publishNow(SWITCH_PUBLISH_MS);
  await loop.deps.release(loop.id, index, null);
}

/** The wish ends. What asked for it fails with the reason; who is primary is as it was. */
export async function endHandover(
  loop: DatabaseLoop,
  index: number,
  problem: StateReason | null,
): Promise<void> {
  const { store } = loop.deps;
  store.write(() => {
    const shard = loop.shard(index);
    if (shard.handover === null) return;
    store.putShard({ ...shard, handover: null });
    if (problem === null) return;
    // Slots leave as the keys lie, rather than wait for one try after the other.
    if (loop.database().scaling?.arranging?.shard === index) noteArranged(loop, 'switch-given-up');
    loop.event(
      'switch-given-up',
      'warning',
      `Shard ${index}: the planned switch was given up (${problem.code}): ${problem.message}`,
      { shard: index, data: { tries: shard.handover.tries } },
    );
    if (shard.handover.operation !== null) failOperation(loop, shard.handover.operation, problem);
  });
}

export function afterTry(
  loop: DatabaseLoop,
  { handover }: ShardRecord,
  problem: StateReason,
): ShardRecord['handover'] {
  if (handover === null) return null;
  return {
    ...handover,
    tries: handover.tries + 1,
    problem,
    notBefore: loop.deps.clock.ticks() + nextTryMs(handover.tries),
  };
}

export async function connect(loop: DatabaseLoop, id: string): Promise<EngineLink> {
  const login = { user: 'admin', password: loop.secrets().admin };
  return loop.deps.node.link(loop.instance(id).socket, login, LINK_DEADLINE_MS);
}

export async function quietly(work: (deadlineMs: number) => Promise<unknown>): Promise<void> {
  try {
    await work(SWITCH_VERB_MS);
  } catch {
    // The pause has an end of its own.
  }
}
