/** What a write to a resource group means. Pure. */
import { groupNameProblem, requireName } from '../catalog/names.ts';
import { ControlError } from '../errors.ts';
import type { GroupRecord, OperationRecord } from '../store/records.ts';
import { usableGroup } from './decide-cluster.ts';
import { groupId, normalLocation } from './ids.ts';
import { MAX_GROUPS } from './limits.ts';
import { type Stamp, startOperation } from './operations.ts';
import { checkLocation, checkTags } from './rules.ts';

export interface GroupInput {
  readonly name: string;
  readonly location: string;
  readonly tags: Readonly<Record<string, string>>;
}

export function decideGroup(
  current: GroupRecord | null,
  count: number,
  input: GroupInput,
  now: number,
): GroupRecord {
  if (current === null) requireName(groupNameProblem(input.name), 'resourceGroupName');
  checkTags(input.tags, current?.tags ?? null);
  checkLocation(input.location);
  const location = normalLocation(input.location);
  if (current === null) {
    if (count < MAX_GROUPS) {
      return { name: input.name, location, tags: input.tags, state: 'Succeeded', createdAt: now };
    }
    throw new ControlError(
      'ResourceGroupQuotaExceeded',
      409,
      `There are ${count} resource groups already, the most that a subscription has.`,
    );
  }
  usableGroup(current, current.name);
  if (location === current.location) return { ...current, tags: input.tags };
  throw new ControlError(
    'InvalidResourceGroupLocation',
    409,
    `Resource group '${current.name}' is in location '${current.location}' and cannot move to '${location}'. Choose another name, or send the same location.`,
    'location',
  );
}

export function decideGroupDelete(
  subscriptionId: string,
  current: GroupRecord,
  stamp: Stamp,
): { group: GroupRecord; operation: OperationRecord } {
  return {
    group: { ...current, state: 'Deleting' },
    operation: startOperation(stamp, {
      kind: 'DeleteGroup',
      resourceId: groupId(subscriptionId, current.name),
      clusterId: null,
      databaseId: null,
      location: current.location,
      generation: null,
      input: { group: current.name },
    }),
  };
}
