/**
 * A planned failover by the user's word: the replicas take over while everything lives, and nothing
 * is lost. Here it is checked and written down; databases/planned-failover.ts sees it through.
 */
import { ControlError } from '../errors.ts';
import { SWITCH_LAG_BYTES } from '../plan/limits.ts';
import type { ShardStatus } from '../service.ts';
import type { OperationRecord, Store } from '../store/index.ts';
import { shardsThere } from './failover.ts';
import { databaseId as armId } from './ids.ts';
import { isOpen, refuseWhenBusy, type Stamp, startOperation } from './operations.ts';
import type { ActionSituation } from './situations.ts';

/** Who was primary when it was asked for, by shard. Kept in the operation: it is done when none is. */
export interface PlannedInput {
  readonly [key: string]: unknown;
  readonly planned: true;
  readonly shards: readonly number[];
  readonly from: Readonly<Record<string, string>>;
}

/** Which shards change their primary; throws ControlError where that is not possible now. Pure. */
function plannedInput(
  name: string,
  replicas: number,
  statuses: readonly ShardStatus[],
  asked: number | null,
): PlannedInput {
  if (replicas === 0) {
    throw new ControlError(
      'NoReplica',
      409,
      `'${name}' has no high availability, so there is no replica that could take over. Turn it on first: cinnabar update ${name} --ha on`,
    );
  }
  const chosen = statuses.filter(({ shard }) => asked === null || shard.index === asked);
  if (chosen.length === 0) {
    throw new ControlError(
      'InvalidParameter',
      400,
      `'${name}' has no shard ${asked}: ${shardsThere(statuses.length)}.`,
      'shard',
    );
  }
  const from: Record<string, string> = {};
  for (const status of chosen) {
    refuseUnready(name, status);
    from[status.shard.index] = status.shard.primary ?? '';
  }
  return { planned: true, shards: chosen.map(({ shard }) => shard.index), from };
}

function refuseUnready(name: string, { shard, instances }: ShardStatus): void {
  if (shard.phase !== 'serving' || shard.primary === null) {
    throw new ControlError(
      'ShardNotServing',
      409,
      `Shard ${shard.index} of '${name}' does not serve now (${shard.phase}: ${shard.reason.code}), so there is nothing to take over. See: cinnabar show ${name}`,
      'shard',
    );
  }
  const others = instances.filter((each) => each.instance.id !== shard.primary);
  const ready = others.filter((each) => each.condition === 'in-sync');
  if (ready.length === 0) {
    const are = others.map((each) => each.condition).join(', ') || 'absent';
    throw new ControlError(
      'ReplicaNotInSync',
      409,
      `The replica of shard ${shard.index} of '${name}' is ${are}: a failover now would lose writes. Wait until "cinnabar show ${name}" says in-sync.`,
      'shard',
    );
  }
  const lag = Math.min(...ready.map((each) => each.lagBytes ?? 0));
  if (lag > SWITCH_LAG_BYTES) {
    throw new ControlError(
      'ReplicaLags',
      409,
      `The replica of shard ${shard.index} of '${name}' is ${lag} bytes behind; a failover begins below ${SWITCH_LAG_BYTES}. Try again when fewer writes come.`,
      'shard',
    );
  }
}

/** Records the operation. The same one asked for again is the one that runs. */
export function startPlannedFailover(
  store: Store,
  situation: ActionSituation,
  statuses: readonly ShardStatus[],
  asked: number | null,
  stamp: Stamp,
): OperationRecord {
  const { cluster, database, subscriptionId, open } = situation;
  const running = open.find(
    (each) => each.kind === 'Failover' && isOpen(each) && each.input['planned'] === true,
  );
  if (running !== undefined && running.input['asked'] === asked) return running;
  refuseWhenBusy(open, `Cluster '${cluster.name}'`);
  const input = plannedInput(cluster.name, database.sizing.replicas, statuses, asked);
  const operation = startOperation(stamp, {
    kind: 'Failover',
    resourceId: armId(subscriptionId, cluster),
    clusterId: cluster.id,
    databaseId: database.id,
    location: cluster.location,
    generation: null,
    input: { ...input, asked },
  });
  store.write(() => {
    store.putOperation(operation);
    store.addEvent({
      reason: 'failover-requested',
      severity: 'info',
      message: `Cluster '${cluster.name}': a planned failover of shard ${input.shards.join(', ')} begins, asked for by ${stamp.actor.name}.`,
      clusterId: cluster.id,
      databaseId: database.id,
      shard: null,
      instance: null,
      data: { shards: input.shards, correlationId: stamp.actor.correlationId },
    });
  });
  return operation;
}
