/**
 * What is checked before a handler runs, in ARM's order: token, api-version, subscription, resource
 * group, type and method, version of the type. Paths that match no route go through the same order,
 * so a caller without a token learns nothing about what exists.
 */
import { ControlError } from '../errors.ts';
import type { ControlService } from '../service.ts';
import { isGuid } from './identity.ts';
import type { Target } from './path.ts';
import type { Match } from './router.ts';
import {
  type ApiVersion,
  BASE,
  checkVersionForm,
  findVersion,
  unknownVersion,
} from './versions.ts';

/** The parts of the tree that Resource Manager answers. */
const TREES = new Set(['subscriptions', 'providers', 'tenants']);

export interface Checked {
  readonly apiVersion: string;
  readonly version: ApiVersion;
}

/** Throws ControlError. The token was checked before (without it not even the body is read). */
export function checkRequest(service: ControlService, target: Target, match: Match): Checked {
  const kind = match.found?.kind ?? 'core';
  // Nothing has an api-version there, so asking for one would be the wrong next step.
  if (match.found === null && !TREES.has(target.segments[0]?.toLowerCase() ?? '')) {
    throw noRoute(target, match.allowed);
  }
  const asked = target.query.get('api-version');
  const apiVersion =
    kind === 'open' || kind === 'extension' ? (asked ?? '') : checkVersionForm(asked);
  if (kind !== 'open') {
    checkSubscription(service, target);
    if (match.found?.anyGroup !== true) checkGroup(service, target);
  }
  if (match.found === null) throw noRoute(target, match.allowed);
  if (kind !== 'provider') {
    // Extensions may say a version of the provider: their documents then have its shape.
    return { apiVersion: apiVersion || BASE.name, version: findVersion(apiVersion) ?? BASE };
  }
  const version = findVersion(apiVersion);
  if (version === null) throw unknownVersion(apiVersion, locationIn(target));
  return { apiVersion, version };
}

/** Fixed words before `/subscriptions` are open routes; the rest of the tree needs a token. */
function checkSubscription(service: ControlService, { segments }: Target): void {
  const [root, id] = segments;
  if (root?.toLowerCase() !== 'subscriptions' || id === undefined) return;
  if (!isGuid(id)) {
    throw new ControlError(
      'InvalidSubscriptionId',
      400,
      `The provided subscription identifier '${id.slice(0, 80)}' is malformed or invalid: it is a GUID. This installation has ${service.subscriptionId}.`,
    );
  }
  if (id.toLowerCase() === service.subscriptionId.toLowerCase()) return;
  throw new ControlError(
    'SubscriptionNotFound',
    404,
    `The subscription '${id}' could not be found. This installation has ${service.subscriptionId}.`,
  );
}

function checkGroup(service: ControlService, { segments }: Target): void {
  const [, , word, name] = segments;
  if (word?.toLowerCase() !== 'resourcegroups' || name === undefined) return;
  if (service.group(name) !== null) return;
  throw new ControlError(
    'ResourceGroupNotFound',
    404,
    `Resource group '${name.slice(0, 90)}' could not be found. '/subscriptions/${service.subscriptionId}/resourceGroups' lists those that are there.`,
  );
}

function noRoute({ segments }: Target, allowed: readonly string[]): ControlError {
  if (allowed.length > 0) {
    return new ControlError(
      'HttpMethodNotSupported',
      405,
      `This HTTP method is not supported at this path. Allowed: ${allowed.join(', ')}.`,
    );
  }
  const at = segments.findLastIndex((segment) => segment.toLowerCase() === 'providers');
  const namespace = at === -1 ? undefined : segments[at + 1];
  if (namespace === undefined) {
    return new ControlError(
      'InvalidResourceType',
      404,
      `There is nothing at '/${segments.join('/').slice(0, 200)}'. Caches are at '/subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.Cache/redisEnterprise/<name>'; '/subscriptions' lists the id.`,
    );
  }
  const known = ['microsoft.cache', 'microsoft.resources'].includes(namespace.toLowerCase());
  if (!known) {
    return new ControlError(
      'InvalidResourceNamespace',
      404,
      `The resource namespace '${namespace.slice(0, 90)}' is invalid: Microsoft.Cache is offered here.`,
    );
  }
  const type = segments.slice(at + 2).filter((_, index) => index % 2 === 0);
  return new ControlError(
    'InvalidResourceType',
    404,
    `The resource type '${type.join('/').slice(0, 200)}' could not be found in the namespace '${namespace}'. '/providers/${namespace}' lists its types.`,
  );
}

function locationIn({ segments }: Target): string {
  const at = segments.findIndex((segment) => segment.toLowerCase() === 'locations');
  return (at === -1 ? undefined : segments[at + 1]) ?? 'local';
}
