/**
 * Certificates of the running service: what users bring and see, and the hourly look that renews
 * ours and warns of theirs. The authority makes files; here they reach the processes.
 */
import type { CertificateDesk, CertificateView } from '../api/index.ts';
import type { Databases } from '../databases/index.ts';
import { ControlError } from '../errors.ts';
import type { ClusterRecord, Store } from '../store/index.ts';
import type { Authority } from '../tls/authority.ts';
import type { OwnPair } from '../tls/own.ts';
import type { Notice } from '../tls/root.ts';
import { CERTIFICATE_APPLY_MS } from './limits.ts';

export interface CertificateDeps {
  readonly store: Store;
  readonly authority: Authority;
  readonly databases: Pick<Databases, 'certificatesChanged' | 'publishedWithin'>;
  hostName(cluster: ClusterRecord): string;
  now(): number;
  /** Loads the API's certificate again. */
  reloadApi(): Promise<void>;
}

export class Certificates implements CertificateDesk {
  readonly #deps: CertificateDeps;
  /** Said already since this start: an hourly look must not say the same each hour. */
  readonly #said = new Set<string>();
  #problems: readonly Notice[] = [];

  constructor(deps: CertificateDeps) {
    this.#deps = deps;
  }

  /** What is wrong with certificates that users brought, for status and doctor. */
  get problems(): readonly Notice[] {
    return this.#problems;
  }

  async show(cluster: ClusterRecord): Promise<CertificateView> {
    const shown = await this.#deps.authority.shown(cluster.id);
    if (shown === null) {
      throw new ControlError(
        'NoServedCertificate',
        404,
        `Cluster '${cluster.name}' has no certificate yet: it is still being created.`,
      );
    }
    const problem = this.#problems.find((each) => each.clusterId === cluster.id);
    return { ...shown, problem: problem?.message ?? null };
  }

  /** Resolves when the endpoint serves it to new connections; open ones go on with the old one. */
  async use(
    cluster: ClusterRecord,
    pair: OwnPair | null,
    actor: string,
  ): Promise<CertificateView & { readonly applied: boolean }> {
    const { authority, databases, store } = this.#deps;
    const before = await authority.shown(cluster.id);
    await authority.useOwn(cluster.id, pair);
    const after = await authority.shown(cluster.id);
    if (before?.generation !== after?.generation) {
      store.tell({
        reason: pair === null ? 'certificate-reset' : 'certificate-replaced',
        severity: 'info',
        message: `Cluster '${cluster.name}' serves ${pair === null ? 'a certificate of ours' : 'the certificate that was given'} now.`,
        clusterId: cluster.id,
        databaseId: null,
        shard: null,
        instance: null,
        data: { actor, generation: after?.generation ?? null },
      });
      databases.certificatesChanged(cluster.id);
    }
    await this.look();
    const ids = store.databases(cluster.id).map((each) => each.id);
    const applied = await Promise.all(
      ids.map((id) => databases.publishedWithin(id, CERTIFICATE_APPLY_MS)),
    );
    return { ...(await this.show(cluster)), applied: applied.every(Boolean) };
  }

  /** Renews what is due and tells the processes; each failure is an event, none ends the look. */
  async renew(): Promise<void> {
    const { authority, databases, now } = this.#deps;
    for (const { clusterId, kind } of await authority.renewDue(now())) {
      this.notice({
        code: 'certificate-renewed',
        message: `The ${kind} certificate was renewed.`,
        clusterId,
      });
      if (kind === 'api') await this.#deps.reloadApi();
      else databases.certificatesChanged(clusterId);
    }
    await this.look();
  }

  /** Looks at what users brought; a problem is said once. */
  async look(): Promise<void> {
    const { authority, store, now, hostName } = this.#deps;
    this.#problems = await authority.ownProblems(now(), (id) => {
      const cluster = store.clusterById(id);
      return cluster === null ? null : hostName(cluster);
    });
    for (const problem of this.#problems) {
      const key = JSON.stringify(problem);
      if (this.#said.has(key)) continue;
      this.#said.add(key);
      this.notice(problem);
    }
  }

  notice(notice: Notice): void {
    certificateEvent(this.#deps.store, notice);
  }
}

export function certificateEvent(store: Store, { code, message, clusterId }: Notice): void {
  store.tell({
    reason: code,
    severity: code === 'certificate-renewed' ? 'info' : 'warning',
    message,
    clusterId,
    databaseId: null,
    shard: null,
    instance: null,
    data: {},
  });
}
