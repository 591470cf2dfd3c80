/**
 * Long-running operations on the wire: the headers of an accepted one, its status document, and
 * its result. Clients follow different ones of these (Azure-AsyncOperation, Location, or the
 * resource itself), so all are sent and all agree.
 */
import { ControlError } from '../errors.ts';
import type { OperationRecord } from '../store/records.ts';
import type { Answer } from './answer.ts';
import type { Call } from './call.ts';
import { RETRY_AFTER_S } from './limits.ts';
import { armTime } from './time.ts';

type Location =
  /** PUT: the resource itself is the result. */
  | 'resource'
  /** The rest: a URL that says 202 until the operation has ended. */
  | 'result';

export function asyncHeaders(
  call: Call,
  operation: OperationRecord,
  location: Location,
): Record<string, string> {
  const result = location === 'resource' ? '' : `/operationresults/${operation.id}`;
  return {
    'azure-asyncoperation': absolute(call, statusPath(call, operation)),
    location: absolute(call, `${operation.resourceId}${result}`),
    'retry-after': String(RETRY_AFTER_S),
  };
}

/** Real services percent-encode ids; the version in the URL is the caller's. */
export function absolute(call: Call, path: string): string {
  const version = encodeURIComponent(call.apiVersion);
  return `${call.base}${encodeURI(path)}?api-version=${version}`;
}

function statusPath(call: Call, operation: OperationRecord): string {
  const { subscriptionId } = call.service;
  return `/subscriptions/${subscriptionId}/providers/Microsoft.Cache/locations/${operation.location}/operationsStatus/${operation.id}`;
}

export function operationStatus(call: Call, operation: OperationRecord): Answer {
  const body = {
    id: statusPath(call, operation),
    name: operation.id,
    status: operation.status,
    startTime: armTime(operation.startedAt),
    ...(operation.endedAt === null ? {} : { endTime: armTime(operation.endedAt) }),
    percentComplete: percentComplete(call, operation),
    ...(operation.status === 'Succeeded' || operation.error === null
      ? {}
      : { error: operation.error }),
    properties: { kind: operation.kind, steps: stepsOf(call, operation) },
  };
  return operation.endedAt === null
    ? { status: 200, body, headers: { 'retry-after': String(RETRY_AFTER_S) } }
    : { status: 200, body };
}

/** What `Location` of anything but a PUT says. `result`: the body of a success; absent: none. */
export function operationResult(
  call: Call,
  operation: OperationRecord,
  path: string,
  result: () => unknown,
): Answer {
  if (operation.endedAt === null) {
    return {
      status: 202,
      headers: { location: absolute(call, path), 'retry-after': String(RETRY_AFTER_S) },
    };
  }
  if (operation.status === 'Succeeded') {
    const body = result();
    return body === undefined ? { status: 204 } : { status: 200, body };
  }
  const { code, message } = operation.error ?? { code: 'OperationFailed', message: 'It failed.' };
  throw new ControlError(code, 409, message);
}

/** A cluster's operation shows the steps of the database's operation that it waits for. */
export function stepsOf(call: Call, operation: OperationRecord): OperationRecord['steps'] {
  const child = operation.input['child'];
  if (typeof child !== 'string') return operation.steps;
  return [...operation.steps, ...(call.service.operation(child)?.steps ?? [])];
}

/** Steps that are done, of those that are known. The end alone is 100. */
export function percentComplete(call: Call, operation: OperationRecord): number {
  if (operation.endedAt !== null) return operation.status === 'Succeeded' ? 100 : 0;
  const steps = stepsOf(call, operation);
  const done = steps.filter((step) => step.state === 'done').length;
  return Math.min(99, Math.floor((100 * done) / Math.max(1, steps.length)));
}
