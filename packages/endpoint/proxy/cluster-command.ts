/**
 * CLUSTER. Behind one address there is nothing to see: the engine's own wording for a server without
 * cluster, which is what single-address clients expect. The port of an OSSCluster database is the
 * seed: SLOTS, SHARDS and NODES answer from the last snapshot, so a dead node is never named, and a
 * change shows at once. Where shards are reached through the endpoint, a node is a shard: its copies
 * are the endpoint's affair, and not named.
 */
import type { InstanceView, ShardView } from '../control-protocol.ts';
import { type Handler, refuse, toShard } from './dispatch.ts';
import { array, bulk } from './raw-reply.ts';
import { textOf } from './route.ts';
import type { Session } from './session.ts';
import { TAKEN } from './session.ts';

const FROM_SNAPSHOT = new Set(['cluster|slots', 'cluster|shards', 'cluster|nodes']);

/** Only the shard that has the slot knows. */
const OF_A_SLOT = new Set(['cluster|countkeysinslot', 'cluster|getkeysinslot']);

export const clusterCommand: Handler = (call) => {
  const { session, command } = call;
  if (session.proxy.view.policy !== 'OSSCluster') {
    return refuse(session, '-ERR This instance has cluster support disabled\r\n');
  }
  const { topology } = session.proxy.world;
  if (OF_A_SLOT.has(command.name)) {
    const slot = Number(textOf(call.bytes, call.args, 2));
    return toShard(call, topology.ofSlot(slot) ?? topology.first());
  }
  const known = topology.known();
  if (command.name === 'cluster|links' && known.some(({ announce }) => announce !== undefined)) {
    // Links are the engines' among themselves, and clients are not told of those.
    session.reply(array([]));
    return TAKEN;
  }
  if (!FROM_SNAPSHOT.has(command.name)) return toShard(call, topology.first());
  const shards = known.filter((shard) => members(shard).length > 0);
  if (command.name === 'cluster|slots') session.reply(slots(shards));
  else if (command.name === 'cluster|nodes') session.reply(nodes(session, shards));
  else session.reply(array(shards.map((shard) => shardOf(session, shard))));
  return TAKEN;
};

const number = (value: number): Buffer => Buffer.from(`:${value}\r\n`);

function members(shard: ShardView): InstanceView[] {
  const { primary, announce } = shard;
  if (primary === null) return [];
  return announce === undefined ? [primary, ...shard.replicas] : [{ ...primary, announce }];
}

function slots(shards: readonly ShardView[]): Buffer {
  const rows: Buffer[] = [];
  for (const shard of shards) {
    for (const [first, last] of shard.slots) {
      const nodes = members(shard).map((instance) =>
        array([
          bulk(instance.announce?.host ?? ''),
          number(instance.announce?.port ?? 0),
          bulk(instance.node),
          array([]),
        ]),
      );
      rows.push(array([number(first), number(last), ...nodes]));
    }
  }
  return array(rows);
}

function shardOf(session: Session, shard: ShardView): Buffer {
  const map = (pairs: readonly Buffer[]): Buffer =>
    session.state.protocol === 3
      ? Buffer.concat([Buffer.from(`%${pairs.length / 2}\r\n`), ...pairs])
      : array(pairs);
  const nodes = members(shard).map((instance) =>
    map([
      bulk('id'),
      bulk(instance.node),
      // Which of the two a node has is how a client tells whether to speak TLS there.
      bulk(session.proxy.view.certificate === null ? 'port' : 'tls-port'),
      number(instance.announce?.port ?? 0),
      bulk('ip'),
      bulk(''),
      bulk('endpoint'),
      bulk(instance.announce?.host ?? ''),
      bulk('hostname'),
      bulk(instance.announce?.host ?? ''),
      bulk('role'),
      bulk(instance.node === shard.primary?.node ? 'master' : 'replica'),
      bulk('replication-offset'),
      number(0),
      bulk('health'),
      bulk('online'),
    ]),
  );
  const ranges = shard.slots.flatMap(([first, last]) => [number(first), number(last)]);
  return map([bulk('slots'), array(ranges), bulk('nodes'), array(nodes)]);
}

function nodes(session: Session, shards: readonly ShardView[]): Buffer {
  const lines: string[] = [];
  const { only } = session.proxy.world.topology;
  const myself = shards.find((shard) => shard.id === only) ?? shards[0];
  for (const shard of shards) {
    for (const instance of members(shard)) {
      const host = instance.announce?.host ?? '';
      const port = instance.announce?.port ?? 0;
      const primary = instance.node === shard.primary?.node;
      const flags = primary ? (shard === myself ? 'myself,master' : 'master') : 'slave';
      const ranges = shard.slots.map(([a, b]) => (a === b ? `${a}` : `${a}-${b}`)).join(' ');
      lines.push(
        `${instance.node} ${host}:${port}@${port},${host} ${flags} ${primary ? '-' : (shard.primary?.node ?? '-')} 0 0 ${session.proxy.world.topology.epoch} connected${primary ? ` ${ranges}` : ''}\n`,
      );
    }
  }
  const text = lines.join('');
  if (session.state.protocol === 2) return bulk(text);
  return Buffer.from(`=${Buffer.byteLength(text) + 4}\r\ntxt:${text}\r\n`);
}
