/**
 * Keyspace events of keys that are on their way to another shard.
 *
 * An engine that is given slots executes what it is sent of them, first every key and then what their owner
 * does meanwhile, and says of each what it says of a client's write. Passed on, scaling would tell who
 * listens of every key that moves, and of some writes twice. So an event counts when it comes from the owner
 * of its key's slot, or from the one before it, whose last words may come a moment later: until it has
 * answered a PING that was sent when the slot had changed hands. Who owns a slot is known before the first
 * write goes to the new owner: a worker that is told so, by an engine or by a snapshot, tells the others
 * first. Clients of `OSSCluster` ask nobody here before they write, so there everything is passed on.
 */
import { keySlot } from '../../resp/index.ts';
import type { Message } from './overlap.ts';
import type { Shard } from './shard.ts';

/** What a shard says about a key is its own to say. `passed`: the map up to which its former words have come. */
export function ownEvent(shard: Shard, message: Message, passed: number): boolean {
  const { topology } = shard.world;
  if (topology.view.policy !== 'EnterpriseCluster') return true;
  const slot = slotOfEvent(message);
  const owner = topology.ofSlot(slot);
  if (owner === null || owner === shard) return true;
  return topology.formerly[slot] === shard.index && (topology.changedAt[slot] ?? 0) > passed;
}

/** The slot of the key that an event is about: it stands in the channel, or is the payload. */
function slotOfEvent({ channel, payload }: Message): number {
  if (channel.startsWith('__keyevent@')) return keySlot(payload);
  return keySlot(Buffer.from(channel.slice(channel.indexOf(':') + 1), 'latin1'));
}
