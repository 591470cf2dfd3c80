/**
 * The ports of an engine that is about to start: a stranger may have taken one while it was away, and may
 * keep it for ever. Waiting for him would leave the shard without a copy, and nobody else may be told to
 * go. But no port of an engine was ever promised to anybody: peers learn the new address from the engine
 * itself, replicas from the records, clients who are sent to engines from the cluster. So it gets another
 * one before it starts, and keeps its identity and its files; the address of the cache stays.
 */
import type { InstanceRecord, PortClaim } from '../../store/records.ts';
import { hostsOf, otherPort } from '../layout.ts';
import { PORT_LINGERS_MS } from '../limits.ts';
import type { DatabaseLoop } from '../loop.ts';

type PortName = 'port' | 'busPort' | 'plainPort';
const NAMES: readonly PortName[] = ['port', 'busPort', 'plainPort'];

export async function settlePorts(loop: DatabaseLoop, id: string): Promise<void> {
  const { store, clock } = loop.deps;
  let names = await lost(loop, id);
  // The kernel may hold on to the port of a process that was killed for a moment.
  if (names.length > 0 && loop.instance(id).phase === 'dead') {
    await clock.sleep(PORT_LINGERS_MS);
    names = await lost(loop, id);
  }
  if (names.length === 0) return;
  const taken = new Set(store.ports().map(({ port }) => port));
  const moves = new Map<PortName, number>();
  for (const name of names) {
    const forClients = isForClients(loop.instance(id), name);
    moves.set(name, await otherPort(loop.deps, loop.database(), forClients, taken));
  }
  store.write(() => {
    for (const [name, to] of moves) move(loop, loop.instance(id), name, to);
  });
}

/** Those that somebody holds; the engine itself does not run. */
async function lost(loop: DatabaseLoop, id: string): Promise<PortName[]> {
  const { deps } = loop;
  const instance = loop.instance(id);
  const hosts = hostsOf(deps, loop.database());
  const found: PortName[] = [];
  for (const name of NAMES) {
    const port = instance[name];
    if (port === 0) continue;
    const free = await Promise.all(hosts.map((host) => deps.node.portIsFree(host, port)));
    if (!free.every(Boolean)) found.push(name);
  }
  return found;
}

/** The one that they are told of where they talk to engines. */
function isForClients({ plainPort }: InstanceRecord, name: PortName): boolean {
  return name === 'plainPort' || (name === 'port' && plainPort === 0);
}

function move(loop: DatabaseLoop, instance: InstanceRecord, name: PortName, to: number): void {
  const { store } = loop.deps;
  const from = instance[name];
  const purpose: PortClaim['purpose'] = name === 'busPort' ? 'bus' : 'shard';
  store.freePort(from);
  store.claimPort({ port: to, owner: `${loop.id}/${instance.id}`, purpose });
  store.putInstance({ ...instance, [name]: to });
  const { shard } = instance;
  loop.event(
    'port-taken',
    'warning',
    `Port ${from} of an engine of shard ${shard} is held by ${loop.deps.ports.describe(from)}: the engine starts at port ${to} instead. Nothing is to be done.`,
    { shard, instance: instance.id, data: { from, to } },
  );
}
