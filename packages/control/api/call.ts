/** One request, as its handler sees it: checked, decoded, and with everything it may use. */
import { ControlError } from '../errors.ts';
import type { Actor, ControlService } from '../service.ts';
import type { ClusterRecord, DatabaseRecord } from '../store/records.ts';
import type { ApiContext } from './context.ts';
import type { Identity } from './identity.ts';
import type { ApiVersion } from './versions.ts';

export type Bodies = typeof import('./bodies.ts');

export interface Call {
  readonly context: ApiContext & { readonly identity: Identity };
  readonly service: ControlService;
  readonly method: string;
  readonly params: Readonly<Record<string, string>>;
  readonly query: ReadonlyMap<string, string>;
  /** Parsed JSON; `{}` when there was no body. */
  readonly body: unknown;
  /** What reads `body`; loaded before any handler of a PUT, PATCH or POST runs. */
  readonly bodies: Bodies;
  /** Fields of a form body. */
  readonly form: ReadonlyMap<string, string>;
  readonly headers: Readonly<Record<string, string>>;
  readonly actor: Actor;
  /** Of this answer: also in its headers. */
  readonly requestId: string;
  /** The caller's, verbatim: it comes back in every URL that we hand out. */
  readonly apiVersion: string;
  /** What that version of Microsoft.Cache knows; the newest stable one for other routes. */
  readonly version: ApiVersion;
  /** Path of the request, percent-encoded, without its query. */
  readonly path: string;
  /** 'https://localhost:8443': scheme and host by which the caller reached us. */
  readonly base: string;
  /** Names of body fields that were left out of account. */
  ignored(names: readonly string[]): void;
}

export function param(call: Call, name: string): string {
  const value = call.params[name];
  if (value === undefined) throw new Error(`the route of ${call.method} has no :${name}`);
  return value;
}

export function clusterOf(call: Call): ClusterRecord {
  const group = param(call, 'group');
  const name = param(call, 'cluster');
  const cluster = call.service.cluster(group, name);
  if (cluster !== null) return cluster;
  throw resourceNotFound(`Microsoft.Cache/redisEnterprise/${name}`, group);
}

export function databaseOf(call: Call): { cluster: ClusterRecord; database: DatabaseRecord } {
  const cluster = clusterOf(call);
  const name = param(call, 'database');
  const database = call.service.database(cluster.id, name);
  if (database !== null) return { cluster, database };
  throw resourceNotFound(
    `Microsoft.Cache/redisEnterprise/${cluster.name}/databases/${name}`,
    cluster.group,
  );
}

export function resourceNotFound(resource: string, group: string): ControlError {
  return new ControlError(
    'ResourceNotFound',
    404,
    `The Resource '${resource}' under resource group '${group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix`,
  );
}
