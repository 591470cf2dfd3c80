/**
 * SCAN over the whole database: by slots, not by shards (engine rule 12).
 *
 * Going shard after shard misses every key whose slot moves from a shard that is still to come to one
 * that is done. So the position is a slot and a place within it. Engines that keep a hash table per
 * slot (Valkey 8 and later) have exactly that in their own cursor: the slot in its lowest 14 bits.
 * Our cursor adds eleven bits that stand for the node that gave it: a place within a slot means
 * nothing on another node, so after a move that slot starts again. A key may come twice, which SCAN
 * allows; none is missed. The cursor holds all there is to know, so any worker can go on with it.
 *
 *   bits  0-13 slot    14-51 place within the slot    52-62 mark of the node
 *
 * An engine steps over slots that are empty there, and a slot that is another's by now is empty, too:
 * it says no MOVED, since there is no key in the question. So it is asked in the same moment (one
 * MULTI) which slots are its own, and only over those its cursor is believed.
 */
import { encodeCommand } from '../../resp/index.ts';
import { fail, type Handler, refuse, toShard } from './dispatch.ts';
import { Part } from './part.ts';
import { array, bulk, payload, splitArray } from './raw-reply.ts';
import { argumentsOf, textOf } from './route.ts';
import { STALLED, TAKEN } from './session.ts';
import type { Shard } from './shard.ts';
import type { Topology } from './topology.ts';

const SLOT_BITS = 14n;
const SLOT_MASK = (1n << SLOT_BITS) - 1n;
const PLACE_MASK = (1n << 38n) - 1n;
const MARK_SHIFT = 52n;
const LAST_SLOT = 16383;

export const scan: Handler = (call) => {
  const { session, command, bytes, args } = call;
  const { topology } = session.proxy.world;
  if (!topology.cluster) return toShard(call, topology.first());
  const cursor = cursorOf(textOf(bytes, args, 1));
  if (cursor === null) return refuse(session, '-ERR invalid cursor\r\n');
  const asked = Number(cursor & SLOT_MASK);
  // Behind the address of one shard the slots of others are not on the way.
  const slot = topology.only === null ? asked : topology.nextSlot(asked);
  if (slot < 0) {
    session.reply(array([bulk('0'), array([])]));
    return TAKEN;
  }
  const shard = topology.ofSlot(slot);
  if (shard === null || session.overdue(shard)) return fail(session, shard);
  const lane = session.laneFor(shard, false);
  if (lane === null) return STALLED;
  const place = (cursor >> SLOT_BITS) & PLACE_MASK;
  const sameNode = slot === asked && cursor >> MARK_SHIFT === mark(lane.node);
  const engineCursor = ((sameNode ? place : 0n) << SLOT_BITS) | BigInt(slot);
  const all = argumentsOf(bytes, args);
  all[1] = Buffer.from(String(engineCursor));
  const reply = session.order.place(command);
  const page = encodeCommand(all);
  const answered = (bytes: Buffer | undefined): void => {
    const [next, keys] = bytes === undefined || bytes[0] !== 42 ? [] : splitArray(bytes);
    if (next === undefined || keys === undefined) {
      session.fill(reply, bytes ?? Buffer.from(LOST));
      return;
    }
    const position = after(topology, shard, slot, BigInt(payload(next).toString()), lane.node);
    session.fill(reply, array([bulk(String(position)), keys]));
  };
  const piece = Buffer.concat([MULTI, page, SLOTS, EXEC]);
  new Part(session, command, lane, slot, piece, 4, (result) => {
    if (result.kind === 'lost') return answered(undefined);
    const [, queued, owners, both] = result.replies;
    if (queued?.[0] === 45) return answered(queued);
    if (owners?.[0] !== 45) {
      const [answer, map] = both === undefined || both[0] !== 42 ? [both] : splitArray(both);
      if (map !== undefined) topology.learn(map);
      return answered(answer);
    }
    // A user that may not ask (azureStrict): the map that we have must do.
    new Part(session, command, lane, slot, page, 1, (alone) => {
      answered(alone.kind === 'replies' ? alone.replies[0] : undefined);
    });
  });
  return TAKEN;
};

/** As the engine reads it: by the rules of its numbers, or else by those of C's `strtoull`. */
function cursorOf(text: string): bigint | null {
  if (/^-[1-9]\d{0,18}$/.test(text)) return null;
  const [, sign, digits] = /^[ \t-\r]*([+-]?)(\d+)$/.exec(text.slice(0, CURSOR_TEXT)) ?? [];
  if (digits === undefined) return null;
  const number = BigInt(digits);
  if (number >= CURSORS) return null;
  return sign === '-' ? BigInt.asUintN(64, -number) : number;
}
const CURSORS = 1n << 64n;
/** Longer ones are no numbers that fit. */
const CURSOR_TEXT = 128;

const LOST = '-ERR shard-lost: SCAN was not answered; go on with the same cursor\r\n';

/** Where to go on: as the engine says, as long as all slots on the way are of the same shard. */
function after(
  topology: Topology,
  shard: Shard,
  slot: number,
  engineCursor: bigint,
  node: string,
): bigint {
  const { slots } = topology;
  const wanted = engineCursor === 0n ? LAST_SLOT + 1 : Number(engineCursor & SLOT_MASK);
  let at = slot;
  while (at < wanted && at <= LAST_SLOT && slots[at] === shard.index) at++;
  if (at > LAST_SLOT) return 0n;
  if (at === wanted && engineCursor !== 0n && slots[at] === shard.index) {
    return (mark(node) << MARK_SHIFT) | engineCursor;
  }
  // The slot itself was not ours any more (it moved meanwhile): it is done again elsewhere.
  return BigInt(at);
}

const MULTI = encodeCommand(['MULTI']);
const SLOTS = encodeCommand(['CLUSTER', 'SLOTS']);
const EXEC = encodeCommand(['EXEC']);

/** Eleven bits that tell nodes apart; never 0, so that a fresh slot carries no mark. */
function mark(node: string): bigint {
  let hash = 7;
  for (let i = 0; i < node.length; i++) hash = (Math.imul(hash, 31) + node.charCodeAt(i)) | 0;
  return BigInt(((hash >>> 8) % 2047) + 1);
}
