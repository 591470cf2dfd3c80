/** What the API is given by whoever starts it. */
import type { Observer } from '../observe/index.ts';
import type { ScalingSkus, SkuQuestion, SkuView } from '../resources/index.ts';
import type { ControlService, MaintenanceSource } from '../service.ts';
import type { ClusterRecord } from '../store/records.ts';

export interface SkuSource {
  skus(question: SkuQuestion): SkuView[];
  /** What a cluster can scale to now. */
  skusForScaling(clusterId: string): ScalingSkus;
}

/** Certificates that the endpoint serves: shown without their keys, replaced by the user's own. */
export interface CertificateDesk {
  show(cluster: ClusterRecord): Promise<CertificateView>;
  /** Null: back to ours. `applied`: the endpoint serves it already. */
  use(
    cluster: ClusterRecord,
    pair: { readonly certPem: string; readonly keyPem: string } | null,
    actor: string,
  ): Promise<CertificateView & { readonly applied: boolean }>;
}

export interface CertificateView {
  readonly origin: 'ours' | 'own';
  readonly generation: number;
  readonly subject: string;
  readonly issuer: string;
  readonly names: readonly string[];
  /** ms since 1970 */
  readonly notBefore: number;
  readonly expiresAt: number;
  readonly fingerprint256: string;
  /** What the user should do about it; null: nothing. */
  readonly problem: string | null;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface ApiContext {
  readonly service: ControlService;
  readonly skus: SkuSource;
  readonly maintenance: MaintenanceSource;
  readonly certificates: CertificateDesk;
  readonly observe: Observer;
  /** The installation's API token: the client secret of the token server, too. */
  readonly token: string;
  readonly now: () => number;
  /** Ends the control process in order; answered before it is called. */
  readonly stop: (options: { readonly save: boolean }) => void;
  /** How long that may take when everything is saved, on a slow disk. */
  readonly stopWithinMs: () => number;
  /** Replaces every worker of the endpoint by draining; resolves when the successors serve. */
  readonly reloadEndpoint: () => Promise<void>;
  /** What engines are seen to hold is asked for anew; between the looks at it up to five seconds pass. */
  readonly lookAt: (databaseId: string) => Promise<void>;
  readonly log: (level: LogLevel, message: string, data: Record<string, unknown>) => void;
}
