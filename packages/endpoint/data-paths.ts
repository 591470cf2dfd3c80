/** Which data path serves a database. */
import type { DatabaseView } from './control-protocol.ts';
import type { DataPathFactory } from './data-path.ts';
import { proxyFactory } from './proxy/proxy.ts';
import { relay } from './relay/relay.ts';

/**
 * Clients of `OSSCluster` talk to the shards themselves; its address is a seed that passes them on
 * to one of them, unchanged. Everywhere else the proxy makes the shards look like one server.
 */
export function pathFor(view: DatabaseView): DataPathFactory {
  return view.policy === 'OSSCluster' ? relay : proxyFactory;
}
