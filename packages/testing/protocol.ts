/**
 * Between a test and the keeper of its cache: JSON lines. The test's side of the keeper's standard
 * input is never used after the first line, and that is the point: it closes when the test process
 * ends in any way, SIGKILL included, and then the keeper ends everything.
 */

export interface CacheOptions {
  /** Default: 'EnterpriseCluster', so that any client can connect. */
  readonly policy?: 'OSSCluster' | 'EnterpriseCluster' | 'NoCluster';
  /** Default: 'Balanced_B0'. */
  readonly sku?: string;
  /** Default: false, which starts quicker; true tests what a replica changes. */
  readonly highAvailability?: boolean;
  /** Azure's names; default: 'VolatileLRU'. */
  readonly evictionPolicy?: string;
  /** Default: true. */
  readonly tls?: boolean;
  /** Default: a free one. */
  readonly port?: number;
  /** A server program to use instead of the one found or fetched. */
  readonly engine?: string;
  /** Start to first connection; the first ever start also fetches the engine. Default: 120,000. */
  readonly timeoutMs?: number;
}

export interface CacheFacts {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly username: string;
  readonly password: string;
  /** `rediss://default:<key>@localhost:<port>` */
  readonly url: string;
  /** Certificate to trust, as a file and as its text. */
  readonly caFile: string;
  readonly ca: string;
  readonly api: { readonly url: string; readonly token: string; readonly subscriptionId: string };
  /** 'valkey 9.1.2' */
  readonly engine: string;
}

export type FromKeeper =
  | { readonly type: 'ready'; readonly cache: CacheFacts }
  | {
      readonly type: 'failed';
      readonly code: string;
      readonly message: string;
      readonly remedy: string;
    };
