/** Which data path serves a database. */
import type { DatabaseView } from './control-protocol.ts';
import type { DataPathFactory } from './data-path.ts';
import { relay } from './relay/relay.ts';

/** A string is the named reason why this worker cannot serve it. */
export function pathFor(view: DatabaseView): DataPathFactory | string {
  if (view.policy === 'EnterpriseCluster' && view.shards.length > 1) {
    return `not-served: the relay serves one shard behind one address, this database has ${view.shards.length}`;
  }
  return relay;
}
