/** `control/tls` is the only maker and writer of CAs and certificates. Files are 0600, folders 0700. */
import type { EngineTls } from '../../engine/contract.ts';

export interface ServedCertificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly generation: number;
  /** ms since 1970 */
  readonly expiresAt: number;
}

export interface CertificateAuthority {
  /** The one file that users trust: the installation's root certificate. */
  readonly caFile: string;
  /** Certificate of the API: localhost, the machine's names, loopback, --listen and --domain. */
  api(): Promise<ServedCertificate>;
  /** Served by the endpoint for one cache; made when absent, renewed when due, own one if given. */
  served(clusterId: string, hostName: string): Promise<ServedCertificate>;
  /**
   * Identity of a cache's engines for bus, replication and direct shard ports. Issued by a CA of
   * the cache alone, which the installation's root cross-signs: so clients trust it through the
   * root, and the bus admits nothing that the root (or anybody else) issued.
   */
  engine(clusterId: string, hostName: string): Promise<EngineTls>;
  /** Names that every certificate carries now. A change of them is a reason to renew. */
  names(hostName: string): readonly string[];
  /** Renews what expires soon; answers what changed. Called once an hour. */
  renewDue(
    now: number,
  ): Promise<
    readonly { readonly clusterId: string | null; readonly kind: 'api' | 'served' | 'engine' }[]
  >;
  /** Takes the user's own certificate for the endpoint of a cache, or null to go back to ours. Checks key, chain, names, dates. */
  useOwn(
    clusterId: string,
    pair: { readonly certPem: string; readonly keyPem: string } | null,
  ): Promise<ServedCertificate | null>;
  remove(clusterId: string): Promise<void>;
}
