/** Making operation records, and what their end means for the records they work on. Pure. */
import { ControlError } from '../errors.ts';
import type { Actor } from '../service.ts';
import type {
  OperationKind,
  OperationRecord,
  OperationStatus,
  StateReason,
} from '../store/records.ts';

/** Who does it, when, and where new ids come from. */
export interface Stamp {
  readonly now: number;
  readonly actor: Actor;
  newId(): string;
}

export interface OperationStart {
  readonly kind: OperationKind;
  readonly resourceId: string;
  readonly clusterId: string | null;
  readonly databaseId: string | null;
  readonly location: string;
  readonly generation: number | null;
  readonly status?: 'Pending' | 'InProgress';
  readonly input?: Readonly<Record<string, unknown>>;
}

export function startOperation(stamp: Stamp, start: OperationStart): OperationRecord {
  return {
    id: stamp.newId(),
    kind: start.kind,
    resourceId: start.resourceId,
    clusterId: start.clusterId,
    databaseId: start.databaseId,
    location: start.location,
    status: start.status ?? 'InProgress',
    generation: start.generation,
    steps: [],
    error: null,
    startedAt: stamp.now,
    endedAt: null,
    input: start.input ?? {},
  };
}

export function isOpen(operation: OperationRecord): boolean {
  return operation.endedAt === null;
}

export function endOperation(
  operation: OperationRecord,
  status: Extract<OperationStatus, 'Succeeded' | 'Failed' | 'Canceled'>,
  now: number,
  error: StateReason | null = null,
): OperationRecord {
  return { ...operation, status, error, endedAt: now };
}

/** One write at a time on a cluster and what is in it. */
export function refuseWhenBusy(open: readonly OperationRecord[], what: string): void {
  const running = open.find(isOpen);
  if (running === undefined) return;
  throw new ControlError(
    'Conflict',
    409,
    `${what} is busy: operation ${running.id} (${running.kind}, ${running.status}) has not ended. Wait for it, then send the request again; maintenance and a change of the number of shards can also be ended by "cinnabar operations cancel ${running.id}".`,
  );
}
