/**
 * A control process for tests that kill it: starts a fleet, publishes what it is given on its
 * channel, renews the lease, and says so.
 */
import type { DatabaseView } from '../../../endpoint/control-protocol.ts';
import type { WatchdogTarget } from '../contract.ts';
import { LocalFleet } from '../fleet.ts';

interface Order {
  readonly folder: string;
  readonly workers: number;
  readonly epoch: number;
  readonly view: DatabaseView;
  readonly targets: readonly WatchdogTarget[];
}

process.once('message', async (raw) => {
  const order = raw as Order;
  const fleet = new LocalFleet({
    folder: order.folder,
    workers: order.workers,
    build: 'test',
    logFile: null,
    say: () => {},
    onVoteGiven: () => {},
  });
  await fleet.start();
  const failed = await fleet.publish(order.epoch, [order.view]);
  fleet.renewLease(order.targets);
  process.send?.({ failed, status: fleet.status() });
});
