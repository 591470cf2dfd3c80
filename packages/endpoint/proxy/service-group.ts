/** Lanes of the internal user, for what the endpoint asks on its own account, whatever a client may ask. */
import type { DatabaseView } from '../control-protocol.ts';
import type { LaneGroup } from './lane-group.ts';
import type { Shard } from './shard.ts';

export function serviceGroup(
  shard: Shard,
  { name, password }: NonNullable<DatabaseView['service']>,
  protocol: 2 | 3,
): LaneGroup {
  return shard.group({
    user: '',
    twin: name,
    password,
    protocol,
    database: 0,
    tracking: null,
    noTouch: false,
  });
}
