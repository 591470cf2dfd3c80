/**
 * MULTI. The endpoint queues the commands and sends MULTI ... EXEC in one piece on an ordinary lane
 * (engine rule 18): no pinned connection, and a planned change between MULTI and EXEC is not seen.
 * What the engine would refuse on queueing for its form (unknown, wrong number of arguments) is
 * refused here, with the same EXECABORT later; what it refuses for its content comes with EXEC.
 */
import { encodeCommand } from '../../resp/index.ts';
import type { Command } from '../../resp/table/index.ts';
import { type Call, fail, type Handler, notInTransaction, refuse } from './dispatch.ts';
import { overLimitOf } from './guarded.ts';
import { PASSED_ON } from './in-multi.ts';
import { lostReply } from './lane-loss.ts';
import { TRANSACTION_BYTES } from './limits.ts';
import { Part } from './part.ts';
import { array, splitArray } from './raw-reply.ts';
import { isWrapped, nodeSlot, textOf } from './route.ts';
import { type Session, STALLED, TAKEN } from './session.ts';
import { channelOf, KEYSPACE, type Message, receivers } from './subscribe-command.ts';
import { isKeyspace } from './subscriptions.ts';

const PUBLISHES = new Set(['publish', 'spublish']);
const CROSS_SLOT = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";

export class Transaction {
  readonly #commands: Buffer[] = [];
  readonly #shas: string[] = [];
  /** Position and command of those that a guard measures in the engine. */
  readonly #guarded = new Map<number, Command>();
  /** Positions of messages: the engine counts our subscriptions where clients are to be counted. */
  readonly #messages = new Map<number, Message>();
  #bytes = 0;
  #slot = -1;
  #crossing = false;
  #spoiled = false;
  #writes = false;

  /** An error while queueing: EXEC will refuse. */
  get length(): number {
    return this.#commands.length;
  }

  spoil(): void {
    this.#spoiled = true;
  }

  queue(call: Call): number {
    const { session, command, bytes, args, start, end } = call;
    const { fate } = command;
    const passedOn =
      fate.kind === 'keyed' ||
      fate.kind === 'split' ||
      fate.kind === 'script' ||
      fate.kind === 'block' ||
      fate.kind === 'one' ||
      PASSED_ON.has(command.name) ||
      // Another database would stay that of the lane, which others share.
      (command.name === 'select' && textOf(bytes, args, 1) === String(session.state.database));
    const everywhere = fate.kind === 'all' && session.proxy.world.topology.serving.length > 1;
    if (everywhere || !(passedOn || fate.kind === 'all')) {
      return refuse(
        session,
        everywhere
          ? `-ERR '${command.name}' concerns all shards and cannot be part of a transaction\r\n`
          : notInTransaction(command.name),
      );
    }
    const channel = PUBLISHES.has(command.name) ? channelOf(call) : null;
    if (channel !== null && command.name === 'publish' && isKeyspace(channel)) {
      return refuse(session, KEYSPACE);
    }
    this.#bytes += end - start;
    if (this.#bytes > TRANSACTION_BYTES) {
      return refuse(session, '-ERR transaction-limit: more than 256 MB queued in one MULTI\r\n');
    }
    const slot = nodeSlot(command, bytes, args);
    if (slot === -2 || (slot >= 0 && this.#slot >= 0 && slot !== this.#slot)) this.#crossing = true;
    else if (slot >= 0) this.#slot = slot;
    if (command.name.startsWith('evalsha')) this.#shas.push(textOf(bytes, args, 1).toLowerCase());
    if (command.write || fate.kind === 'script') this.#writes = true;
    if (isWrapped(command, bytes, args)) this.#guarded.set(this.#commands.length, command);
    if (channel !== null) {
      this.#messages.set(this.#commands.length, { channel, sharded: command.name === 'spublish' });
    }
    this.#commands.push(Buffer.from(bytes.subarray(start, end)));
    session.reply('+QUEUED\r\n');
    return TAKEN;
  }

  exec(call: Call): number {
    const { session, command } = call;
    const { state, proxy } = session;
    const { topology } = proxy.world;
    const { watch } = state;
    const finish = (text: string): number => {
      state.open();
      watch?.drop();
      state.watch = null;
      session.reply(text);
      return TAKEN;
    };
    if (this.#spoiled) {
      return finish('-EXECABORT Transaction discarded because of previous errors.\r\n');
    }
    if (this.#crossing && topology.cluster) return finish(CROSS_SLOT);
    const nothing = state.protocol === 3 ? '_\r\n' : '*-1\r\n';
    if (watch?.lost === true) return finish(nothing);
    if (watch !== null && this.#slot >= 0 && topology.ofSlot(this.#slot) !== watch.lane.shard) {
      return finish(CROSS_SLOT);
    }
    if (this.#commands.length === 0 && watch === null) return finish('*0\r\n');
    const shard = this.#slot < 0 ? topology.first() : topology.ofSlot(this.#slot);
    if (watch !== null && session.lanes.total > 0) {
      session.stall('order');
      return STALLED;
    }
    if (watch === null && (shard === null || session.overdue)) {
      state.open();
      return fail(session, shard);
    }
    const lane =
      watch !== null ? watch.lane : shard === null ? null : session.laneFor(shard, false);
    if (lane === null) return STALLED;

    const loads: Buffer[] = [];
    for (const sha of new Set(this.#shas)) {
      const body = proxy.scripts.missing(lane.node, sha);
      if (body !== null) {
        loads.push(encodeCommand(['SCRIPT', 'LOAD', body]));
        proxy.scripts.loaded(lane.node, sha);
      }
    }
    // Loading a script would use up what CLIENT CACHING said.
    if (state.caching !== null && loads.length > 0) {
      loads.push(encodeCommand(['CLIENT', 'CACHING', state.caching]));
    }
    const piece = Buffer.concat([...loads, MULTI, ...this.#commands, EXEC]);
    const count = loads.length + this.#commands.length + 2;
    const place = session.order.place(command);
    if (this.#writes) session.lanes.wroteOn(lane);
    state.open();
    state.watch = null;
    // With WATCH it is never sent again: the check would be lost.
    const slot = watch !== null ? -1 : this.#slot < 0 ? topology.home : this.#slot;
    new Part(session, command, lane, slot, piece, count, (result) => {
      if (watch !== null) watch.finished();
      if (result.kind === 'replies') {
        const last = result.replies[result.replies.length - 1];
        const moved = result.replies.some((reply) => reply.toString('latin1', 0, 7) === '-MOVED ');
        if ((watch !== null && moved) || last === undefined) {
          session.fill(place, Buffer.from(nothing));
        } else if (this.#messages.size === 0 || last[0] !== 42) {
          session.fill(place, this.#worded(session, last));
        } else {
          void this.#received(session, this.#worded(session, last)).then((reply) =>
            session.fill(place, reply),
          );
        }
      } else if (!result.sent) {
        session.fill(
          place,
          Buffer.from(
            watch !== null
              ? nothing
              : `-CLUSTERDOWN ${result.reason}: the transaction was not executed\r\n`,
          ),
        );
      } else {
        session.fill(
          place,
          this.#writes
            ? lostReply(lane, { ...command, readonly: false })
            : lostReply(lane, { ...command, readonly: true }),
        );
      }
    });
    return TAKEN;
  }

  /** An answer to EXEC with the clients that each message has reached, in all workers. */
  async #received(session: Session, reply: Buffer): Promise<Buffer> {
    const items = splitArray(reply);
    const counts = new Map<string, Promise<number>>();
    for (const [i, message] of this.#messages) {
      // Anything else than a number is an error, which stays.
      if (items[i]?.[0] !== 58) continue;
      const key = `${message.sharded} ${message.channel}`;
      const known = counts.get(key) ?? receivers(session, message);
      counts.set(key, known);
      items[i] = Buffer.from(`:${await known}\r\n`);
    }
    return array(items);
  }

  /** Answers of guarded commands in the words of their rules. */
  #worded(session: Session, reply: Buffer): Buffer {
    if (this.#guarded.size === 0 || reply[0] !== 42) return reply;
    const items = splitArray(reply).map((item, i) => {
      const command = this.#guarded.get(i);
      const refused = command === undefined ? null : overLimitOf(session, command, item, '');
      return refused === null ? item : Buffer.from(refused);
    });
    return array(items);
  }
}

const MULTI = encodeCommand(['MULTI']);
const EXEC = encodeCommand(['EXEC']);

export const multi: Handler = ({ session }) => {
  session.state.setMode({ kind: 'transaction', transaction: new Transaction() });
  session.reply('+OK\r\n');
  return TAKEN;
};

export const exec: Handler = (call) => {
  const { mode } = call.session.state;
  if (mode.kind === 'transaction') return mode.transaction.exec(call);
  call.session.reply('-ERR EXEC without MULTI\r\n');
  return TAKEN;
};

export const discard: Handler = ({ session }) => {
  const { state } = session;
  if (state.mode.kind !== 'transaction') {
    session.reply('-ERR DISCARD without MULTI\r\n');
    return TAKEN;
  }
  state.open();
  state.watch?.drop();
  state.watch = null;
  session.reply('+OK\r\n');
  return TAKEN;
};
