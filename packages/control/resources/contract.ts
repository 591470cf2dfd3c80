/**
 * What the resources need from the rest of the control plane. Small interfaces on purpose: the
 * rules of writing are tested with tables, and only the store behind them is real.
 */
import type { Problem, ShardStatus, SystemStatus } from '../service.ts';
import type { ClusterRecord } from '../store/records.ts';
import type { Catalogue } from './catalogue.ts';

export interface PortView {
  /** All ports that are listened on now, by whomever. */
  listening(): ReadonlySet<number>;
  describe(port: number): string;
}

export interface ResourceDeps {
  readonly subscriptionId: string;
  readonly catalogue: Catalogue;
  readonly ports: PortView;
  /** Public ports are given out from here up. */
  readonly firstPort: number;
  /** Null: clients connect to `localhost`. */
  readonly domain: string | null;
  now(): number;
  newId(): string;
  /** Desired state of the database changed: its loop should look. */
  wake(databaseId: string): void;
  /** Users and keys as stored now are applied to every process of the database. */
  applyUsers(databaseId: string, options: { readonly disconnect: boolean }): Promise<void>;
  /** What a cluster needs before it can hold a database: its certificates. May be called again. */
  prepareCluster(cluster: ClusterRecord): Promise<void>;
  /** Removes what `prepareCluster` made. May be called again. */
  releaseCluster(cluster: ClusterRecord): Promise<void>;
  status(): SystemStatus;
  shards(databaseId: string): ShardStatus[];
  /** What a start of an engine would run now: 'valkey 9.1.2'. */
  engine(): string;
  /** Whether an engine of this label can be started here. */
  canStart(label: string): boolean;
  problems(databaseId: string): Problem[];
  log(level: 'info' | 'warn' | 'error', message: string, data: Record<string, unknown>): void;
}
