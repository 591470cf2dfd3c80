/**
 * What is done with a shard while clients are held, done once with a shard of nobody: code that has never
 * run takes milliseconds the first time, in each worker, and in a switch every one of them is a client's.
 */
import { type InstanceView, type ShardView, SWITCHING } from '../control-protocol.ts';
import { REHEARSAL_MS } from './limits.ts';
import type { ProxyPath } from './proxy.ts';
import { Shard } from './shard.ts';
import { expect, succeed, takeBack } from './succession.ts';

let rehearsed = false;

export function rehearse(proxy: ProxyPath): void {
  if (rehearsed) return;
  rehearsed = true;
  const { world } = proxy;
  const shard = new Shard(world, NO_INDEX, NOBODYS);
  void shard.hold(performance.now() + REHEARSAL_MS);
  expect(shard, SUCCESSOR, () => undefined);
  takeBack(shard);
  expect(shard, SUCCESSOR, () => undefined);
  // The other workers do their part: they know no such shard, and say so.
  void proxy.listenersFirst.subscribed(shard);
  succeed(shard, SUCCESSOR);
  shard.close();
}

/** Of no shard of a database. */
const NO_INDEX = -1;
const SUCCESSOR = { node: 'successor', reason: SWITCHING };
const NOBODYS: ShardView = {
  id: '',
  slots: [],
  state: 'serving',
  reason: 'running',
  primary: instance('primary'),
  replicas: [instance(SUCCESSOR.node)],
};

function instance(node: string): InstanceView {
  return { node, socket: '', announce: null };
}
