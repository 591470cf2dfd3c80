/** What a user should know about a resource as it stands: shown with it, never a refusal. Pure. */
import type { ClusterRecord, DatabaseRecord } from '../store/records.ts';

export interface Warning {
  readonly code: string;
  readonly message: string;
}

/** `problems`: what is wrong with it now; these come first. */
export function databaseWarnings(
  database: DatabaseRecord,
  problems: readonly Warning[] = [],
): Warning[] {
  const { settings, sizing } = database;
  const warnings: Warning[] = [...problems];
  if (settings.accessKeys === 'Disabled') {
    warnings.push({
      code: 'nobody-can-log-in',
      message:
        'Access keys are off and no identity can log in, so nobody can use this cache. Turn the keys on: PATCH properties.accessKeysAuthentication to Enabled, or "cinnabar update <name> --access-keys on".',
    });
  }
  if (settings.clientProtocol === 'Plaintext') {
    warnings.push({
      code: 'plaintext',
      message: 'Clients connect without TLS: keys and data cross the network readable.',
    });
  }
  if (sizing.replicas === 0) {
    warnings.push({
      code: 'no-replica',
      message: 'High availability is off: if a process dies, what was not saved is lost.',
    });
  }
  if (sizing.scaled !== null) warnings.push({ code: 'miniature', message: sizing.scaled });
  return warnings;
}

export function clusterWarnings(cluster: ClusterRecord): Warning[] {
  const warnings: Warning[] = [];
  if (cluster.publicNetworkAccess === 'Disabled') {
    warnings.push({
      code: 'network-access-recorded',
      message:
        'publicNetworkAccess is recorded only. Which machines reach this cache is decided by "cinnabar up --listen".',
    });
  }
  const identity = cluster.echoed['identity'];
  if (typeof identity === 'object' && identity !== null && 'type' in identity) {
    if (identity.type !== 'None') {
      warnings.push({
        code: 'identity-recorded',
        message: 'identity is recorded only: nothing here runs under it.',
      });
    }
  }
  return warnings;
}
