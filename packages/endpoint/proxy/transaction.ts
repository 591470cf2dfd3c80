/**
 * MULTI. The endpoint queues the commands and sends MULTI ... EXEC in one piece on an ordinary lane
 * (engine rule 18): no pinned connection, and a planned change between MULTI and EXEC is not seen.
 * What the engine would refuse on queueing for its form (unknown, wrong number of arguments) is
 * refused here, with the same EXECABORT later; what it refuses for its state (no memory left) or for the
 * user's rights comes with EXEC, in the words that it has for what became so in between.
 */
import { encodeCommand } from '../../resp/index.ts';
import { type Call, fail, type Handler, refuse } from './dispatch.ts';
import { ExecRun, type Item, type KeptCall, keep } from './exec-run.ts';
import { engineAlone } from './fan-out.ts';
import { overLimitOf } from './guarded.ts';
import { denial, type PlaceInMulti, placeInMulti, subscribes } from './in-multi.ts';
import { lostReply } from './lane-loss.ts';
import { TRANSACTION_BYTES } from './limits.ts';
import { keepBack } from './own-messages.ts';
import { Part } from './part.ts';
import type { Pieces } from './pending.ts';
import { array, splitArray } from './raw-reply.ts';
import { bytesOf, isWrapped, nodeSlot, textOf } from './route.ts';
import { type Session, STALLED, TAKEN } from './session.ts';
import { channelOf, KEYSPACE, type Message, receivers } from './subscribe-command.ts';
import { isKeyspace } from './subscriptions.ts';
import { askEarlier, type EarlierWrites, inPlace, isWait } from './wait-in-multi.ts';

const PUBLISHES = new Set(['publish', 'spublish']);
const CROSS_SLOT = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";

export class Transaction {
  /** What the engine gets. */
  readonly #commands: Buffer[] = [];
  readonly #items: Queued[] = [];
  readonly #shas: string[] = [];
  #bytes = 0;
  #slot = -1;
  #crossing = false;
  #spoiled = false;
  #writes = false;
  #subscribed = false;
  /** The engine's connection is in another database, or speaks another protocol, at the end. */
  #selects = false;
  #greets = false;
  readonly #waits = new Set<string>();
  #earlier: EarlierWrites = new Map();

  get length(): number {
    return this.#items.length;
  }

  /** An error while queueing: EXEC will refuse. */
  spoil(): void {
    this.#spoiled = true;
  }

  queue(call: Call): number {
    const { session, command, bytes, args, start, end } = call;
    const channel = PUBLISHES.has(command.name) ? channelOf(call) : null;
    if (channel !== null && command.name === 'publish' && isKeyspace(channel)) {
      return refuse(session, KEYSPACE);
    }
    this.#bytes += end - start;
    if (this.#bytes > TRANSACTION_BYTES) {
      return refuse(session, '-ERR transaction-limit: more than 256 MB queued in one MULTI\r\n');
    }
    const place = placeInMulti(call, this.#subscribed);
    if (subscribes(command)) this.#subscribed = true;
    const slot = nodeSlot(command, bytes, args);
    if (slot === -2 || (slot >= 0 && this.#slot >= 0 && slot !== this.#slot)) this.#crossing = true;
    else if (slot >= 0) this.#slot = slot;
    if (command.name.startsWith('evalsha')) this.#shas.push(textOf(bytes, args, 1).toLowerCase());
    if (command.write || command.fate.kind === 'script') this.#writes = true;
    if (isWait(command.name)) this.#waits.add(command.name);
    const kept = keep(call);
    if (place === 'hello') {
      this.#greets = true;
      this.#commands.push(encodeCommand(['HELLO', bytesOf(bytes, args, 1)]));
    } else if (place !== 'here' && place !== 'denied') {
      this.#commands.push(kept.bytes);
    }
    const database = place === 'select' ? Number(textOf(bytes, args, 1)) : 0;
    if (place === 'select' && database !== session.state.database) this.#selects = true;
    this.#items.push({
      place,
      kept,
      guarded: isWrapped(command, bytes, args),
      message:
        channel === null || place === 'here'
          ? null
          : { channel, sharded: command.name === 'spublish' },
      database,
    });
    session.reply('+QUEUED\r\n');
    return TAKEN;
  }

  exec(call: Call): number {
    const { session, command } = call;
    const { state, proxy } = session;
    const { topology } = proxy.world;
    const { watch } = state;
    const finish = (text: string): number => {
      forget(session);
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
    const items = this.#items.map((queued) => this.#item(session, queued));
    const engineOnly = items.every((item) => item.kind === 'engine');
    const asItComes = items.every((item) => item.kind === 'engine' && item.reply === null);
    if (this.#commands.length === 0 && watch === null) {
      state.open();
      if (items.length === 0) session.reply('*0\r\n');
      else new ExecRun(session, session.order.place(command), items).executed([], null);
      return TAKEN;
    }
    const shard = this.#slot < 0 ? topology.first() : topology.ofSlot(this.#slot);
    if (watch !== null && session.lanes.total > 0) {
      session.stall('order');
      return STALLED;
    }
    if (watch === null && (shard === null || session.overdue(shard))) {
      state.open();
      return fail(session, shard);
    }
    const scripts = this.#items.some(({ kept }) => kept.command.fate.kind === 'script');
    const publishes = scripts || this.#items.some(({ message }) => message?.sharded === true);
    if (publishes && !proxy.shardedFirst.open(this.#slot)) {
      proxy.shardedFirst.wait(session);
      return STALLED;
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
    const { login } = lane;
    const back: Buffer[] = [];
    if (this.#selects) back.push(encodeCommand(['SELECT', String(login.database)]));
    if (this.#greets) back.push(encodeCommand(['HELLO', String(login.protocol)]));
    const sent = [...this.#commands, ...back];
    const piece = Buffer.concat([...loads, MULTI, ...sent, EXEC]);
    const count = loads.length + sent.length + 2;
    const place = session.order.place(command);
    this.#earlier = askEarlier(session, this.#waits);
    if (this.#writes) session.lanes.wroteOn(lane);
    state.open();
    state.watch = null;
    const run = engineOnly ? null : new ExecRun(session, place, items);
    const messages = this.#items.flatMap(({ message }) => (message === null ? [] : [message]));
    const answered = keepBack(session, run === null ? messages : []);
    const fill = (reply: Buffer | Pieces): void => {
      session.fill(place, reply);
      answered();
    };
    const failed = (reply: string | Buffer): void => {
      const bytes = Buffer.from(reply);
      if (run !== null) run.failed(bytes);
      else fill(bytes);
    };
    // With WATCH it is never sent again: the check would be lost.
    const slot = watch !== null ? -1 : this.#slot < 0 ? topology.home : this.#slot;
    const part = new Part(session, command, lane, slot, piece, count, (result) => {
      if (watch !== null) watch.finished();
      if (this.#writes && part.lane !== lane) session.lanes.wroteOn(part.lane);
      if (result.kind === 'replies') {
        const last = result.replies[result.replies.length - 1];
        if (scripts && last !== undefined) proxy.world.refusedScripts.heard(part.lane, last);
        const moved = result.replies.some((reply) => reply.toString('latin1', 0, 7) === '-MOVED ');
        if ((watch !== null && moved) || last === undefined) failed(nothing);
        else if (last[0] !== ARRAY || last[1] === MINUS) failed(discarded(result.replies, last));
        else if (run !== null) run.executed(splitArray(last), part.lane);
        else if (asItComes) fill(result.pieces ?? last);
        else void made(last, items).then(fill);
      } else if (!result.sent) {
        failed(
          watch !== null
            ? nothing
            : `-CLUSTERDOWN ${result.reason}: the transaction was not executed\r\n`,
        );
      } else {
        failed(lostReply(lane, { ...command, readonly: !this.#writes }));
      }
    });
    part.takesPieces = asItComes;
    return TAKEN;
  }

  /** What is done with it now: the number of shards may have changed since it was queued. */
  #item(session: Session, queued: Queued): Item {
    const { place, kept, guarded, message, database } = queued;
    const { command } = kept;
    const { fate } = command;
    if (place === 'select' && this.#selects) return { kind: 'select', database };
    if (place === 'denied') return { kind: 'error', text: denial(command) };
    if (place === 'here' || place === 'hello') {
      return { kind: 'here', kept, shadowed: place === 'hello' };
    }
    if (fate.kind === 'all' && !engineAlone(command, session, fate.merge)) {
      return { kind: 'share', kept, merge: fate.merge };
    }
    if (message !== null) {
      return { kind: 'engine', reply: (reply) => counted(session, message, reply) };
    }
    if (isWait(command.name)) {
      return { kind: 'engine', reply: (reply) => inPlace(this.#earlier, command.name, reply) };
    }
    if (!guarded) return { kind: 'engine', reply: null };
    // In the words of its rule.
    const worded = (reply: Buffer): Buffer =>
      Buffer.from(overLimitOf(session, command, reply, '') ?? reply);
    return { kind: 'engine', reply: worded };
  }
}

/** A command of the queue. */
interface Queued {
  readonly place: PlaceInMulti;
  readonly kept: KeptCall;
  /** It travels as a script that measures first. */
  readonly guarded: boolean;
  readonly message: Message | null;
  readonly database: number;
}

/** The clients that a message has reached, in all workers: the engine counts our subscriptions. */
async function counted(session: Session, message: Message, reply: Buffer): Promise<Buffer> {
  // Anything else than a number is an error, which stays.
  if (reply[0] !== INTEGER) return reply;
  return Buffer.from(`:${await receivers(session, message)}\r\n`);
}

/** The engine's answer to EXEC; if it refused a command as that was queued, with the reason. */
function discarded(replies: readonly Buffer[], last: Buffer): Buffer {
  const refused = replies.find((reply) => reply !== last && reply[0] === MINUS);
  if (refused === undefined || !last.toString('latin1', 0, BECAUSE.length).startsWith(ABORTED)) {
    return last;
  }
  return Buffer.concat([Buffer.from(BECAUSE), refused.subarray(1)]);
}

/** An answer to EXEC in which some elements are put in our words. */
async function made(reply: Buffer, items: readonly Item[]): Promise<Buffer> {
  const elements = splitArray(reply).map((element, i) => {
    const item = items[i];
    return item?.kind === 'engine' && item.reply !== null ? item.reply(element) : element;
  });
  return array(await Promise.all(elements));
}

const ABORTED = '-EXECABORT ';
const BECAUSE = `${ABORTED}Transaction discarded because of: `;
const ARRAY = 0x2a;
const MINUS = 0x2d;
const INTEGER = 0x3a;
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
  forget(session);
  session.reply('+OK\r\n');
  return TAKEN;
};

/** What was queued and watched. */
export function forget({ state }: Session): void {
  state.open();
  state.watch?.drop();
  state.watch = null;
}
