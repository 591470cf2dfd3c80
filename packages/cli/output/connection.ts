import type { ClusterResource, DatabaseResource } from '../api/shapes.ts';

/** `rediss://default:<key>@host:port`; the key is base64, so it has to be percent-encoded. */
export function connectionString(
  cluster: ClusterResource,
  database: DatabaseResource,
  key: string,
): string {
  const { clientProtocol, port } = database.properties;
  const scheme = clientProtocol === 'Plaintext' ? 'redis' : 'rediss';
  return `${scheme}://default:${encodeURIComponent(key)}@${cluster.properties.hostName}:${port}`;
}
