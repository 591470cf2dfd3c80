/**
 * Commands that concern the whole database: sent to every primary, on the very lanes that carry this
 * session's other commands (so that FLUSHALL comes after the SET before it), answers merged.
 */

import { encodeCommand } from '../../resp/index.ts';
import type { Command, Merge } from '../../resp/table/index.ts';
import { contained } from './contained.ts';
import { type Call, fail, repliesMayBeMany, toShard } from './dispatch.ts';
import { isKill, killScripts } from './kill-script.ts';
import type { Lane } from './lane.ts';
import { MERGE_BYTES, MERGES_AHEAD } from './limits.ts';
import { mergeHistograms, mergeInfo, mergeSlowlog } from './merge-text.ts';
import { Part, type PartResult } from './part.ts';
import { OF_SHARD } from './pending.ts';
import { integer, nullReply, splitArray } from './raw-reply.ts';
import { bytesOf, textOf } from './route.ts';
import { type Session, STALLED, TAKEN } from './session.ts';
import type { Shard } from './shard.ts';
import { REMOVED } from './topology.ts';

/** What one shard has answered already, as a part of a transaction. */
export interface Share {
  readonly lane: Lane;
  readonly reply: Buffer;
}

/** A lane to each shard, or the reason to wait. */
function lanesToAll(
  session: Session,
  share: Share | null,
): readonly Lane[] | typeof STALLED | Shard | null {
  const { serving } = session.proxy.world.topology;
  if (serving.length === 0) return null;
  const lanes: Lane[] = [];
  for (const shard of serving) {
    if (shard === share?.lane.shard) {
      lanes.push(share.lane);
      continue;
    }
    if (session.overdue(shard) && session.lanes.take(shard, false) === null) return shard;
    const lane = session.laneFor(shard, false);
    if (lane === null) return STALLED;
    lanes.push(lane);
  }
  return lanes;
}

/** There is one shard, and what it answers is the client's answer. */
export function engineAlone(command: Command, session: Session, merge: Merge): boolean {
  const { serving } = session.proxy.world.topology;
  return serving.length === 1 && !ALWAYS_MERGED.has(merge) && !NOTED.has(command.name);
}

export function all(call: Call, merge: Merge, share: Share | null = null): number {
  const { session, command, bytes, start, end } = call;
  const { topology } = session.proxy.world;
  if (share === null && isKill(command.name)) {
    const { serving } = topology;
    if (serving.length === 0) return fail(session, null);
    return killScripts(call, serving, (replies) => {
      const results = replies.map((reply): PartResult => ({ kind: 'replies', replies: [reply] }));
      return join(session, command.name, merge, serving, results, 0, 0);
    });
  }
  if (share === null && engineAlone(command, session, merge))
    return toShard(call, topology.first());
  if (share === null && repliesMayBeMany(session, command)) return STALLED;
  if (share === null && session.lanes.total >= MERGES_AHEAD * topology.serving.length) {
    session.stall('replies');
    return STALLED;
  }
  const lanes = lanesToAll(session, share);
  if (lanes === STALLED) return STALLED;
  if (lanes === null || !Array.isArray(lanes)) return fail(session, lanes as Shard | null);
  if (merge === 'random') return random(call, lanes);
  const { merges } = session.proxy.world;
  const turn = IN_TURN.has(merge) ? merges.begin(session) : null;
  if (turn === null && IN_TURN.has(merge)) {
    session.stall('merges');
    return STALLED;
  }
  if (command.name === 'script|load') {
    const sha = session.proxy.scripts.remember(bytesOf(bytes, call.args, 2));
    for (const lane of lanes) session.proxy.scripts.loaded(lane.node, sha);
  }
  if (command.name === 'script|flush') {
    session.proxy.scripts.flush();
    session.proxy.across.tell({ kind: 'scripts-flushed' });
  }
  const whole = Buffer.from(bytes.subarray(start, end));
  const limit = call.args.count > 2 ? Number(textOf(bytes, call.args, 2)) : 10;
  const others =
    merge === 'info' && !session.proxy.across.single
      ? session.proxy.across.sum({ kind: 'connected' })
      : null;
  const place = session.order.place(command);
  gather(session, call, lanes, whole, share, (shards, results) => {
    const joined = (elsewhere: number): Buffer =>
      join(session, command.name, merge, shards, results, limit, elsewhere);
    if (turn === null) return session.fill(place, joined(0));
    const inTurn = (elsewhere: number): void =>
      merges.join(() => {
        contained(session, () => session.gone || session.fill(place, joined(elsewhere)));
        merges.end(turn);
      });
    if (others === null) inTurn(0);
    else void others.then(inTurn);
  });
  return TAKEN;
}

/**
 * Asks all lanes the same, and hands on what they say when all have answered. A shard that was removed before it
 * could had nothing left by then: all its slots had gone, and the others have answered for them.
 */
function gather(
  session: Session,
  call: Call,
  lanes: readonly Lane[],
  whole: Buffer,
  share: Share | null,
  then: (shards: readonly Shard[], results: readonly PartResult[]) => void,
): void {
  const results = new Array<PartResult>(lanes.length);
  let left = lanes.length;
  const answered = (i: number, result: PartResult): void => {
    results[i] = result;
    if (--left > 0) return;
    const counts = results.map(
      ({ kind }, at) => kind === 'replies' || lanes[at]?.shard.view.reason !== REMOVED,
    );
    then(
      lanes.filter((_, at) => counts[at]).map(({ shard }) => shard),
      results.filter((_, at) => counts[at]),
    );
  };
  for (const [i, lane] of lanes.entries()) {
    if (lane === share?.lane) {
      answered(i, { kind: 'replies', replies: [share.reply] });
      continue;
    }
    session.lanes.wrote(lane, call.command);
    new Part(session, call.command, lane, OF_SHARD, whole, 1, (result) => answered(i, result));
  }
}

function join(
  session: Session,
  name: string,
  merge: Merge,
  shards: readonly Shard[],
  results: readonly PartResult[],
  limit: number,
  elsewhere: number,
): Buffer {
  const replies: Buffer[] = [];
  const failed: number[] = [];
  for (const [i, result] of results.entries()) {
    const reply = result.kind === 'replies' ? result.replies[0] : undefined;
    if (reply === undefined || reply[0] === 45) failed.push(i);
    if (reply !== undefined) replies.push(reply);
  }
  const [first] = replies;
  if (merge === 'any-success') {
    const success = replies.find((reply) => reply[0] !== 45);
    if (success !== undefined) return success;
  }
  if (failed.length > 0) {
    const error = replies.find((reply) => reply[0] === 45);
    if (error !== undefined && failed.length === shards.length) return error;
    const named = (indexes: readonly number[]): string =>
      indexes.map((i) => shards[i]?.id ?? '').join(', ') || 'none';
    const done = shards.map((_, i) => i).filter((i) => !failed.includes(i));
    const why = error === undefined ? 'shard lost' : error.toString('latin1', 1).trim();
    return Buffer.from(
      `-ERR partly-done: '${name}' was executed by shard ${named(done)}, not or not known to be by shard ${named(failed)}: ${why}\r\n`,
    );
  }
  if (first === undefined) return Buffer.from('-ERR no shard answered\r\n');
  let bytes = 0;
  for (const reply of replies) bytes += reply.length;
  if (bytes > MERGE_BYTES) {
    return Buffer.from(
      `-ERR merge-limit: the answers to '${name}' are larger than 512 MB; use SCAN\r\n`,
    );
  }
  switch (merge) {
    case 'same':
    case 'any-success':
    case 'random':
      return first;
    case 'sum': {
      let sum = 0;
      for (const reply of replies) sum += integer(reply);
      return Buffer.from(`:${sum}\r\n`);
    }
    case 'concat': {
      const items = replies.map((reply) => Number(reply.toString('latin1', 1, reply.indexOf(13))));
      const total = items.reduce((a, b) => a + b, 0);
      return Buffer.concat([
        Buffer.from(`*${total}\r\n`),
        ...replies.map((reply) => reply.subarray(reply.indexOf(10) + 1)),
      ]);
    }
    case 'and': {
      const columns = replies.map((reply) => splitArray(reply).map(integer));
      const length = columns[0]?.length ?? 0;
      const lines: string[] = [];
      for (let i = 0; i < length; i++) {
        lines.push(`:${columns.every((column) => column[i] === 1) ? 1 : 0}\r\n`);
      }
      return Buffer.from(`*${length}\r\n${lines.join('')}`);
    }
    case 'info':
      return mergeInfo(session, replies, session.proxy.sessions.size + elsewhere);
    case 'slowlog':
      return mergeSlowlog(replies, limit);
    case 'histogram':
      return mergeHistograms(replies, session.state.protocol);
  }
}

/** RANDOMKEY: a shard is drawn by the number of its keys, then it draws a key. */
function random(call: Call, lanes: readonly Lane[]): number {
  const { session, command } = call;
  const place = session.order.place(command);
  const sizes = new Array<number>(lanes.length).fill(0);
  let left = lanes.length;
  const ask = encodeCommand(['DBSIZE']);
  const draw = (): void => {
    const total = sizes.reduce((a, b) => a + b, 0);
    const drawn = Math.random() * total;
    let index = 0;
    for (let before = sizes[0] ?? 0; before <= drawn && index < sizes.length - 1; ) {
      index++;
      before += sizes[index] ?? 0;
    }
    const lane = lanes[index];
    if (lane === undefined || total === 0 || !lane.open) {
      session.fill(place, nullReply(session.state.protocol));
      return;
    }
    new Part(session, command, lane, OF_SHARD, encodeCommand(['RANDOMKEY']), 1, (result) => {
      const reply = result.kind === 'replies' ? result.replies[0] : undefined;
      session.fill(place, reply ?? nullReply(session.state.protocol));
    });
  };
  for (const [i, lane] of lanes.entries()) {
    new Part(session, command, lane, OF_SHARD, ask, 1, (result) => {
      const reply = result.kind === 'replies' ? result.replies[0] : undefined;
      sizes[i] = reply === undefined || reply[0] !== 58 ? 0 : integer(reply);
      if (--left === 0) draw();
    });
  }
  return TAKEN;
}

/** Merged even with one shard: the answer is not only the engine's, or says what is the endpoint's. */
const ALWAYS_MERGED: ReadonlySet<Merge> = new Set<Merge>(['info', 'slowlog']);
/** A cost to everybody: a few at a time (merges.ts). */
const IN_TURN: ReadonlySet<Merge> = new Set<Merge>(['info', 'slowlog', 'histogram', 'concat']);
/** Noted here, so that they take the long way. */
const NOTED = new Set(['script|load', 'script|flush']);
