/**
 * MGET, MSET, DEL, UNLINK, EXISTS, TOUCH over any slots: the engine takes them within one slot, so
 * they are divided by slot, sent together, and the answers put back in the order of the keys. Each
 * share is atomic; the whole is not, which the documentation says.
 */
import { encodeCommand, slotOfRange } from '../../resp/index.ts';
import type { Fate } from '../../resp/table/index.ts';
import { type Call, fail, refuse, repliesMayBeMany, toShard } from './dispatch.ts';
import type { Lane } from './lane.ts';
import { Part, type PartResult } from './part.ts';
import { splitArray } from './raw-reply.ts';
import { bytesOf } from './route.ts';
import { STALLED, TAKEN } from './session.ts';

type SplitFate = Extract<Fate, { kind: 'split' }>;

interface Share {
  readonly slot: number;
  readonly lane: Lane;
  /** Positions among the keys. */
  readonly keys: number[];
  readonly args: Buffer[];
  result: PartResult | null;
}

export function split(call: Call, fate: SplitFate): number {
  const { session, command, bytes, args } = call;
  const { topology } = session.proxy.world;
  // A node of a cluster does not divide commands: the engine says CROSSSLOT.
  if (!topology.cluster || topology.only !== null) return toShard(call, topology.first());
  const { step } = fate;
  if ((args.count - 1) % step !== 0) {
    return refuse(session, `-ERR wrong number of arguments for '${command.name}' command\r\n`);
  }
  const keys = (args.count - 1) / step;
  const slots = new Int16Array(keys);
  let several = false;
  for (let i = 0; i < keys; i++) {
    const index = 1 + i * step;
    slots[i] = slotOfRange(bytes, args.starts[index] ?? 0, args.ends[index] ?? 0);
    if (slots[i] !== slots[0]) several = true;
  }
  if (!several) return toShard(call, topology.ofSlot(slots[0] ?? 0));

  if (repliesMayBeMany(session, command)) return STALLED;
  // All lanes first: a command is never half sent because one shard is not there now.
  const shares = new Map<number, Share>();
  for (let i = 0; i < keys; i++) {
    const slot = slots[i] ?? 0;
    let share = shares.get(slot);
    if (share === undefined) {
      const shard = topology.ofSlot(slot);
      if (shard === null || session.overdue(shard)) return fail(session, shard);
      const lane = session.laneFor(shard, false, command);
      if (lane === null) return STALLED;
      share = { slot, lane, keys: [], args: [], result: null };
      shares.set(slot, share);
    }
    share.keys.push(i);
    for (let j = 0; j < step; j++) share.args.push(bytesOf(bytes, args, 1 + i * step + j));
  }

  const place = session.order.place(command);
  const list = [...shares.values()];
  let left = list.length;
  for (const share of list) {
    session.lanes.wrote(share.lane, command);
    const part = encodeCommand([command.name, ...share.args]);
    new Part(session, command, share.lane, share.slot, part, 1, (result) => {
      share.result = result;
      if (--left === 0) session.fill(place, join(command.name, fate, keys, list));
    });
  }
  return TAKEN;
}

function join(name: string, fate: SplitFate, keys: number, shares: readonly Share[]): Buffer {
  const replies = new Map<Share, Buffer>();
  for (const share of shares) {
    const reply = share.result?.kind === 'replies' ? share.result.replies[0] : undefined;
    if (reply !== undefined) replies.set(share, reply);
  }
  const failed = shares.filter((share) => (replies.get(share)?.[0] ?? 45) === 45);
  if (failed.length > 0) return partial(name, shares, failed, replies);
  if (fate.join === 'ok') return Buffer.from('+OK\r\n');
  if (fate.join === 'sum') {
    let sum = 0;
    for (const reply of replies.values()) sum += Number(reply.toString('latin1', 1));
    return Buffer.from(`:${sum}\r\n`);
  }
  const values = new Array<Buffer>(keys);
  for (const [share, reply] of replies) {
    for (const [i, value] of splitArray(reply).entries()) {
      const key = share.keys[i];
      if (key !== undefined) values[key] = value;
    }
  }
  return Buffer.concat([Buffer.from(`*${keys}\r\n`), ...values]);
}

/** Some shares failed: the first error, and what was done where. A read has done nothing anywhere. */
function partial(
  name: string,
  shares: readonly Share[],
  failed: readonly Share[],
  replies: ReadonlyMap<Share, Buffer>,
): Buffer {
  const shardsOf = (list: readonly Share[]): string =>
    [...new Set(list.map((share) => share.lane.shard.id))].join(', ') || 'none';
  const [first] = failed;
  const reply = first === undefined ? undefined : replies.get(first);
  if (reply !== undefined && failed.length === shares.length) return reply;
  if (name === 'mget' || name === 'exists') {
    if (reply !== undefined) return reply;
    return Buffer.from(
      `-ERR shard-lost: '${name}' was not answered by shard ${shardsOf(failed)}\r\n`,
    );
  }
  const unknown = failed.filter((share) => share.result?.kind === 'lost' && share.result.sent);
  const done = shares.filter((share) => !failed.includes(share));
  const why = reply === undefined ? 'shard lost' : reply.toString('latin1', 1).trim();
  const code = unknown.length > 0 ? 'OUTCOMEUNKNOWN' : 'ERR partly-done:';
  return Buffer.from(
    `-${code} '${name}' was done on keys of shard ${shardsOf(done)} and not, or not known to be, on keys of shard ${shardsOf(failed)}: ${why}\r\n`,
  );
}
