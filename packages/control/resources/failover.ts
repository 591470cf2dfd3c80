/**
 * The failover that nobody but the user may decide: letting a copy serve that is not provably the
 * last; and taking note of a shard that had to start empty. Where both engines live and nothing is lost it is a planned one (planned-failover.ts).
 */
import { ControlError } from '../errors.ts';
import { needsWord } from '../plan/shard.ts';
import type { OperationRecord, ShardRecord, Store } from '../store/index.ts';
import { databaseId as armId } from './ids.ts';
import { isOpen, type Stamp, startOperation } from './operations.ts';
import type { ActionSituation } from './situations.ts';

export interface FailoverInput {
  /** False: a planned failover. */
  readonly acceptDataLoss: boolean;
  /** Null: every shard that waits for the user. */
  readonly shard: number | null;
}

/** Which shards may be told; throws ControlError when there is none. Pure. */
function shardsToFailOver(
  name: string,
  shards: readonly ShardRecord[],
  { shard: asked }: Pick<FailoverInput, 'shard'>,
): readonly ShardRecord[] {
  if (asked === null) {
    const waiting = shards.filter((each) => needsWord(each) || each.dataLost !== null);
    if (waiting.length > 0) return waiting;
    throw new ControlError(
      'NothingToFailOver',
      409,
      `No shard of '${name}' waits for this: ${shards.map(describe).join('; ') || 'it has none yet'}.`,
    );
  }
  const shard = shards.find((each) => each.index === asked);
  if (shard === undefined) {
    throw new ControlError(
      'InvalidParameter',
      400,
      `'${name}' has no shard ${asked}: ${shardsThere(shards.length)}.`,
      'shard',
    );
  }
  if (needsWord(shard) || shard.dataLost !== null) return [shard];
  throw new ControlError(
    shard.phase === 'serving' ? 'ShardServes' : 'NothingToFailOver',
    409,
    shard.phase === 'serving'
      ? `Shard ${asked} of '${name}' serves: nothing of it has to be given up. Without acceptDataLoss its replica takes over and nothing is lost.`
      : `No older copy of '${name}' waits for this: ${describe(shard)}.`,
    'shard',
  );
}

/** Numbers of shards begin at 0, and who counts from 1 should read it here. */
export function shardsThere(count: number): string {
  return count === 1 ? 'its only one is 0' : `it has 0 to ${count - 1}`;
}

function describe(shard: ShardRecord): string {
  const { index, phase, reason } = shard;
  return phase === 'serving'
    ? `shard ${index} serves`
    : `shard ${index} is ${phase} (${reason.code})`;
}

/**
 * Records the user's word and the operation that waits for the shards. Other operations may be open:
 * they may be waiting for exactly this. A second request for the same shards is the first one.
 */
export function startFailover(
  store: Store,
  situation: ActionSituation,
  input: FailoverInput,
  stamp: Stamp,
): OperationRecord {
  const { cluster, database, subscriptionId } = situation;
  if (database.provisioningState === 'Deleting') {
    throw new ControlError('Conflict', 409, `The database of '${cluster.name}' is being deleted.`);
  }
  const shards = shardsToFailOver(cluster.name, store.shards(database.id), input);
  const indexes = shards.map((shard) => shard.index);
  const running = situation.open.find(
    (each) =>
      each.kind === 'Failover' &&
      isOpen(each) &&
      each.input['planned'] !== true &&
      JSON.stringify(each.input['shards']) === JSON.stringify(indexes),
  );
  if (
    running !== undefined &&
    shards.every((shard) => shard.lossAccepted !== null || !needsWord(shard))
  )
    return running;
  const operation = startOperation(stamp, {
    kind: 'Failover',
    resourceId: armId(subscriptionId, cluster),
    clusterId: cluster.id,
    databaseId: database.id,
    location: cluster.location,
    generation: null,
    input: { shards: indexes },
  });
  store.write(() => {
    for (const shard of shards) {
      const lossAccepted = needsWord(shard) ? { at: stamp.now, by: stamp.actor.name } : null;
      store.putShard({ ...shard, lossAccepted, dataLost: null });
    }
    store.putOperation(operation);
    store.addEvent({
      reason: 'data-loss-accepted',
      severity: 'warning',
      message: `Cluster '${cluster.name}': the loss of data of shard ${indexes.join(', ')} was accepted by ${stamp.actor.name}; an older copy serves.`,
      clusterId: cluster.id,
      databaseId: database.id,
      shard: null,
      instance: null,
      data: { shards: indexes, correlationId: stamp.actor.correlationId },
    });
  });
  return operation;
}
