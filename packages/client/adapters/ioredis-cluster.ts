/** Attaches to the nodes of a cluster client of ioredis or iovalkey, those that there are and those that come. */
import type { Call } from '../lanes/call.ts';
import type { Lane } from '../lanes/lane.ts';
import type { Pool } from '../lanes/pool.ts';
import type { Sent, Wire } from '../wire/wire.ts';
import { IoCall } from './ioredis-call.ts';
import type { LinkEvents } from './ioredis-link.ts';
import { ClusterRoute } from './ioredis-route.ts';
import { checkCluster, type IoCluster, type IoRedis } from './ioredis-shape.ts';

export function routeCluster(
  cluster: IoCluster,
  lane: Lane,
  pool: Pool,
  staggered: boolean,
  link: (node: IoRedis, events: LinkEvents) => Wire<Sent>,
  unlink: (wire: Wire<Sent>) => void,
): ClusterRoute {
  checkCluster(cluster);
  const route = new ClusterRoute(cluster, lane, pool, staggered);
  const eventsOf = (node: IoRedis): LinkEvents => ({
    // The lane goes on without one of its connections.
    down: () => route.down(node),
    answered: (call, now) => {
      if (call instanceof IoCall) route.answered(call);
      call.settled = true;
      pool.answered(call, now);
    },
    large: (sent, wire) => pool.becameLarge(sent, wire, lane),
    largeBytes: pool.settings.largeBytes,
    lost: (call: Call, written, cause) => {
      if (call instanceof IoCall) route.lost(call, written, cause);
    },
    refused: (call, error) => {
      if (call.lane !== lane || !(call instanceof IoCall)) return false;
      if (route.refused(call, error)) return true;
      route.left(call);
      return pool.refused(call, lane, error);
    },
  });
  const add = (node: IoRedis): void => {
    if (route.nodes.has(node)) return;
    route.nodes.add(node, link(node, eventsOf(node)));
    node.on('close', () => route.closed(node));
  };
  for (const node of cluster.nodes('all')) add(node);
  cluster.on('+node', add);
  cluster.on('-node', (node: IoRedis) => {
    const wire = route.nodes.remove(node);
    if (wire !== undefined) unlink(wire);
  });
  for (const event of ['close', 'end']) cluster.on(event, () => route.nodes.stop());
  return route;
}
