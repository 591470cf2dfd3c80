/** EVAL, EVALSHA, FCALL: routed by the keys they name; bodies are there before they are needed. */
import { type Call, fail, toShard } from './dispatch.ts';
import { bytesOf, firstSlot, textOf } from './route.ts';
import { STALLED } from './session.ts';

export function script(call: Call): number {
  const { session, command, bytes, args, start, end } = call;
  const { scripts, shardedFirst, world } = session.proxy;
  const slot = firstSlot(command, bytes, args);
  const shard = slot < 0 ? world.topology.first() : world.topology.ofSlot(slot);
  if (shard === null || session.overdue(shard)) return fail(session, shard);
  if (!shardedFirst.openTo(command, bytes.subarray(start, end), slot)) {
    shardedFirst.wait(session);
    return STALLED;
  }
  if (command.name.startsWith('evalsha')) {
    const sha = textOf(bytes, args, 1).toLowerCase();
    const lane = session.laneFor(shard, false);
    if (lane === null) return STALLED;
    const body = scripts.missing(lane.node, sha);
    if (body !== null) {
      scripts.loaded(lane.node, sha);
      lane.question(['SCRIPT', 'LOAD', body], (reply) => {
        if (reply === null || reply[0] === 45) scripts.forget(lane.node);
      });
    }
  } else if (command.name.startsWith('eval')) {
    scripts.remember(bytesOf(bytes, args, 1));
  }
  return toShard(call, shard);
}
