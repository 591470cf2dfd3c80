/**
 * The parts of ARM's shapes that the command line reads. Only what is used; everything else in an
 * answer is left alone and shown by `--json`.
 */

import type { GuardRule } from '../../control/observe/contract.ts';
import type { EventRecord, OperationRecord, Upgrade } from '../../control/store/records.ts';

export interface ClusterResource {
  readonly id: string;
  readonly name: string;
  readonly location: string;
  readonly tags?: Readonly<Record<string, string>> | null;
  readonly sku: { readonly name: string; readonly capacity?: number };
  readonly properties: {
    readonly provisioningState: string;
    readonly resourceState: string;
    readonly hostName: string;
    readonly highAvailability?: 'Enabled' | 'Disabled';
    readonly maintenanceConfiguration?: {
      readonly maintenanceWindows?: readonly MaintenanceWindow[];
    };
    readonly cinnabar?: Extension;
  };
}

export interface MaintenanceWindow {
  readonly startHourUtc: number;
  /** ISO 8601: 'PT9H'. */
  readonly duration: string;
  readonly schedule: { readonly dayOfWeek: string };
}

export interface DatabaseResource {
  readonly id: string;
  readonly name: string;
  readonly properties: {
    readonly provisioningState: string;
    readonly resourceState: string;
    readonly port: number;
    readonly clientProtocol: 'Encrypted' | 'Plaintext';
    readonly clusteringPolicy: 'OSSCluster' | 'EnterpriseCluster' | 'NoCluster';
    readonly evictionPolicy: string;
    readonly accessKeysAuthentication?: 'Enabled' | 'Disabled';
    readonly redisVersion?: string;
    readonly notifyKeyspaceEvents?: string;
    readonly deferUpgrade?: 'Deferred' | 'NotDeferred';
    readonly cinnabar?: Extension & {
      readonly azureStrict?: boolean;
      readonly guard?: readonly GuardRule[];
      readonly readFrom?: 'primary' | 'replica';
      readonly shardAccess?: 'direct' | 'relayed';
      readonly idleTimeoutMinutes?: number;
      /** Between two versions of the engine, or the way back to the older one is open. */
      readonly upgrade?: Upgrade;
    };
  };
}

/** What Azure has no field for. */
export interface Extension {
  readonly reason?: { readonly code: string; readonly message: string };
  readonly warnings?: readonly { readonly code: string; readonly message: string }[];
}

export interface Keys {
  readonly primaryKey: string;
  readonly secondaryKey: string;
}

/** The certificate that the endpoint serves. */
export interface CertificateInfo {
  readonly origin: 'ours' | 'own';
  readonly generation: number;
  readonly subject: string;
  readonly issuer: string;
  readonly names: readonly string[];
  readonly notBefore: string;
  readonly expiresAt: string;
  readonly fingerprint256: string;
  readonly problem: string | null;
  /** Absent when it was only shown. */
  readonly applied?: boolean;
}

export interface Page<T> {
  readonly value: readonly T[];
  readonly nextLink?: string;
}

export interface Cache {
  readonly cluster: ClusterResource;
  readonly database: DatabaseResource | null;
}

/** An event with the name of its cache; null where it concerns none, or one that is gone. */
export type EventRow = EventRecord & { readonly cluster: string | null };

/** An operation with the name of the cache that it is about, also when that is gone; null: about none. */
export type OperationRow = OperationRecord & { readonly cluster: string | null };

/** One SKU as it would be on this machine. */
export interface SkuRow {
  readonly name: string;
  readonly sizeInGB: number;
  readonly retired: boolean;
  readonly sizing: {
    readonly shards: number;
    readonly maxMemoryBytes: number;
    readonly maxConnections: number;
    readonly bandwidthMbps: number;
    /** Set by --miniature. */
    readonly scaled: string | null;
  } | null;
  readonly fits: boolean;
  /** Of one cache: the SKU that it has. */
  readonly current?: boolean;
  readonly reason: { readonly code: string; readonly message: string } | null;
}

/** What is armed in the control process, and which point was reached since. */
export interface FailpointState {
  readonly armed: { readonly point: string; readonly effect: string } | null;
  readonly reached: string | null;
}
