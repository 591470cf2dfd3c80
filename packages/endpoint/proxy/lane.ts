/**
 * A connection to one engine, shared by many sessions: commands go out in batches, replies come back
 * in order, and each goes to the session that stands first in the lane's list.
 *
 * Speed comes from what is not done. A reply is not parsed but measured: for most (a short string, a
 * status, a number) that is one header. Neighbouring replies of one session are passed on as one
 * range of the chunk they came in. Nothing is allocated for a command: records are reused, bytes lie
 * in the journal.
 *
 * What takes a reply off this path: it is an error (the command may belong elsewhere), a sink waits
 * for it (a part of something), it is not all in this chunk, or it may be a large one.
 */
import { connect, type Socket } from 'node:net';
import { encodeCommand } from '../../resp/index.ts';
import { ReplyScanner } from '../../resp/scan-reply.ts';
import type { Command } from '../../resp/table/index.ts';
import { Collected, give } from './collected.ts';
import { DirectWriter } from './direct-write.ts';
import { othersBehind } from './elsewhere.ts';
import { Journal } from './journal.ts';
import { LaneFlow } from './lane-flow.ts';
import { LaneInput } from './lane-input.ts';
import { introduce, type LaneCopy, type LaneLogin } from './lane-login.ts';
import { failLane } from './lane-loss.ts';
import { BULK_BYTES, CLIENT_HIGH_WATER, LANE_CONNECT_MS, LANE_HIGH_WATER } from './limits.ts';
import { answered as measured, sized } from './measure.ts';
import type { Pending, ReplySink } from './pending.ts';
import { endOfReply } from './raw-reply.ts';
import type { Session } from './session.ts';
import type { Shard } from './shard.ts';
import { Owed } from './spare-lanes.ts';
import { handleError } from './upstream-errors.ts';
import { measureWhole, whole } from './whole-replies.ts';
import type { World } from './world.ts';

/** small: shared. bulk: one large reply at a time. own: one session's. */
export type LaneKind = 'small' | 'bulk' | 'own';
export type LaneState = 'connecting' | 'ready' | 'closed';

const LF = 10;

export class Lane {
  readonly world: World;
  readonly shard: Shard;
  readonly login: LaneLogin;
  kind: LaneKind;
  state: LaneState = 'connecting';
  /** Nothing new is put on it: it is being replaced. */
  retired = false;
  inFlight = 0;
  head: Pending | null = null;
  #tail: Pending | null = null;
  readonly journal: Journal;
  /** CLIENT ID in the engine; 0 when it was not asked. */
  engineClient = 0;
  usedAt = 0;
  onReady: (() => void) | null = null;
  onClosed: ((reason: string) => void) | null = null;
  onQuiet: (() => void) | null = null;
  /** The instance it is connected to. */
  readonly node: string;
  readonly copy: LaneCopy;
  /** A WAIT stands in it: others keep away. */
  waits = 0;
  readonly owed = new Owed();
  readonly flow: LaneFlow;

  readonly #socket: Socket;
  readonly #input: LaneInput;
  readonly #writer: DirectWriter;
  readonly #scanner = new ReplyScanner();
  readonly #collected = new Collected();
  /** Of the reply under way: what has come of it. */
  #replyBytes = 0;
  #scheduled = false;
  #congested = false;
  readonly #timer: NodeJS.Timeout;

  constructor(
    world: World,
    shard: Shard,
    at: { readonly node: string; readonly socket: string },
    login: LaneLogin,
    kind: LaneKind,
    copy: LaneCopy = 'primary',
  ) {
    this.world = world;
    this.shard = shard;
    this.login = login;
    this.kind = kind;
    this.copy = copy;
    this.node = at.node;
    this.journal = new Journal(world.blocks);
    this.usedAt = world.now;
    this.#socket = connect(at.socket);
    this.flow = new LaneFlow(this.#socket, shard.turnsOf(at.node));
    this.#input = new LaneInput(world, (chunk, at, end) => this.#take(chunk, at, end));
    this.#writer = new DirectWriter(this.#socket, this);
    this.#socket.on('error', (error) => this.close(error.message));
    this.#socket.on('close', () => this.close('closed by the engine'));
    this.#socket.on('connect', () => this.#introduce());
    this.#timer = setTimeout(() => this.close('no answer to the login'), LANE_CONNECT_MS);
  }

  get open(): boolean {
    return this.state === 'ready' && !this.retired && !this.#congested && this.waits === 0;
  }

  #introduce(): void {
    introduce(this.#socket, this.login, this.copy, (result) => {
      if (typeof result === 'string') return this.close(result);
      this.engineClient = result;
      this.#input.attach(this.#socket, this.kind);
      clearTimeout(this.#timer);
      this.state = 'ready';
      this.onReady?.();
    });
  }

  /** Puts `count` commands of a session, contiguous in `bytes`, on the lane; their replies go to the client. */
  send(
    session: Session,
    command: Command,
    bytes: Buffer,
    start: number,
    end: number,
    count: number,
  ): Pending {
    const pending = this.#record(session, command, bytes, start, end, count);
    pending.ordered = true;
    session.order.append(pending);
    return pending;
  }

  /** The same for a sink. `session` may be null: our own question. */
  ask(
    session: Session | null,
    command: Command | null,
    bytes: Buffer,
    count: number,
    sink: ReplySink,
  ): Pending {
    const pending = this.#record(session, command, bytes, 0, bytes.length, count);
    pending.sink = sink;
    return pending;
  }

  /** A record of `Retries`, with its own bytes: it keeps its place in its session. */
  resend(pending: Pending): void {
    const { bytes } = pending;
    if (bytes === null) return;
    pending.bytes = null;
    this.#enlist(pending, bytes, 0, bytes.length, Math.max(1, pending.count));
  }

  #record(
    session: Session | null,
    command: Command | null,
    bytes: Buffer,
    start: number,
    end: number,
    count: number,
  ): Pending {
    const pending = this.world.pendings.take();
    pending.session = session;
    pending.command = command;
    this.#enlist(pending, bytes, start, end, count);
    return pending;
  }

  #enlist(pending: Pending, bytes: Buffer, start: number, end: number, count: number): void {
    const { world, journal } = this;
    const { session } = pending;
    journal.put(bytes, start, end);
    pending.lane = this;
    pending.shard = this.shard.index;
    pending.count = count;
    pending.total = count;
    pending.startedAt = session === null ? world.now : session.activeAt;
    pending.block = journal.block;
    pending.from = journal.from;
    pending.to = pending.from + end - start;
    if (this.#tail === null) this.head = pending;
    else this.#tail.nextInLane = pending;
    this.#tail = pending;
    this.inFlight += count;
    if (session !== null) session.lanes.flying(this.shard.index, count);
    if (!this.#scheduled) {
      this.#scheduled = true;
      world.laneToFlush(this);
    }
  }

  /** Writes what was put on it in this tick, or leaves it where it is while the engine is behind. */
  flush(): void {
    this.#scheduled = false;
    if (this.state !== 'ready') return;
    this.usedAt = this.world.now;
    const { journal } = this;
    while (!this.#writer.busy) {
      const piece = journal.take();
      if (piece === null) break;
      this.#writer.write(piece);
    }
    if (journal.waiting + this.#writer.waiting > LANE_HIGH_WATER) this.#congested = true;
  }

  /** The engine has taken what was under way. */
  written(): void {
    this.flush();
    if (!this.#congested || this.journal.waiting + this.#writer.waiting > LANE_HIGH_WATER) return;
    this.#congested = false;
    this.shard.wakeAll();
  }

  /** Deals out [from, end) of what came; answers where the rest begins that needs more bytes. */
  #take(chunk: Buffer, from: number, end: number): number {
    const { world } = this;
    const { tracking } = this.login;
    world.tick();
    let at = from;
    while (at < end) {
      if (tracking !== null && chunk[at] === 62 && this.#scanner.idle) {
        const next = endOfReply(chunk, at, end);
        if (next === 0) break;
        tracking.pushed(Buffer.from(chunk.subarray(at, next)));
        at = next;
        continue;
      }
      const pending = this.head;
      if (pending === null) {
        this.close('a reply that nobody waits for');
        return end;
      }
      // On a bulk lane a large reply may be whole in one read, and still has to be seen.
      const plain = pending.sink === null && this.#scanner.idle && this.kind !== 'bulk';
      const next = plain
        ? this.#pass(pending, chunk, at, end)
        : this.#measured(pending, chunk, at, end);
      if (this.state === 'closed') return end;
      if (next === at) break;
      at = next;
    }
    if (this.kind === 'bulk') this.flow.read(at - from, this.midReply, this.#input.filled);
    world.answered();
    return at;
  }

  /** Whole, plain replies of the first pending, passed on as one range. */
  #pass(pending: Pending, chunk: Buffer, from: number, end: number): number {
    const meter = pending.command === null ? null : this.world.meter.of(pending.command);
    measureWhole(chunk, from, end, pending.count, meter);
    const { found, end: at } = whole;
    if (found === 0) return this.#measured(pending, chunk, from, end);
    this.#deliver(pending, chunk, from, at);
    this.#count(pending, found);
    return at;
  }

  /** Everything else: one reply, or a part of one. Answers how far it got. */
  #measured(pending: Pending, chunk: Buffer, at: number, end: number): number {
    const scanner = this.#scanner;
    const begins = scanner.idle;
    if (begins && chunk[at] === 45 && pending.sink === null) {
      const lineEnd = at + chunk.subarray(at, end).indexOf(LF) + 1; // behind `end`: older answers
      if (lineEnd > at) {
        const answer = handleError(this, pending, chunk.subarray(at, lineEnd));
        if (answer !== 'sent-again') {
          sized(this.world, pending, answer.length, true);
          this.#deliver(pending, answer, 0, answer.length);
        }
        this.#count(pending, 1, answer === 'sent-again');
        return lineEnd;
      }
      // A longer one is a script's, and passes as it comes.
      if (end - at <= BULK_BYTES) return at;
    }
    const next = scanner.scan(chunk, at, end);
    if (scanner.broken) {
      this.close('what the engine sent is no reply');
      return at;
    }
    this.#replyBytes = begins ? next - at : this.#replyBytes + next - at;
    if (Math.max(this.#replyBytes, scanner.largest) > BULK_BYTES) this.#large(pending);
    if (pending.sink !== null) {
      const { sink, session } = pending;
      if (next > at) this.#collected.add(chunk.subarray(at, next), session);
      if (scanner.done) {
        const reply = this.#collected.take();
        if (reply === null) session?.end('reply-too-large');
        this.#count(pending, 1, reply?.parts[0]?.[0] === 45);
        give(sink, reply);
      }
      return next;
    }
    if (next > at) this.#deliver(pending, chunk, at, next);
    if (scanner.done) {
      sized(this.world, pending, this.#replyBytes, false);
      this.#count(pending, 1);
    }
    return next;
  }

  #deliver(pending: Pending, chunk: Buffer, start: number, end: number): void {
    const { session } = pending;
    if (session === null || session.gone || pending.muted) return;
    if (session.order.head === pending) {
      session.push(chunk, start, end);
    } else {
      session.order.keep(pending, Buffer.from(chunk.subarray(start, end)));
    }
    // Nobody else may wait for a slow reader: what others asked for behind it, when the lane was still
    // shared, is fetched, and the slow one's output grows up to its limit.
    if (this.kind === 'small' || session.output.unwritten <= CLIENT_HIGH_WATER) return;
    if (othersBehind(pending)) return;
    if (this.flow.waitFor(session.output)) this.shard.wakeAll();
  }

  /** `answered` replies of the first pending have come; `refused`: it will be sent again. */
  #count(pending: Pending, answered: number, refused = false): void {
    const { session } = pending;
    if (session?.gated === true && !refused) this.world.retries.executed(pending, answered);
    this.inFlight -= answered;
    pending.count -= answered;
    if (!refused) measured(this.world, pending, answered);
    if (session !== null) session.landed(pending.shard, answered);
    if (pending.count > 0) return;
    this.head = pending.nextInLane;
    if (this.head === null) this.#tail = null;
    pending.nextInLane = null;
    if (this.kind !== 'small' || pending.to - pending.from > BULK_BYTES) {
      this.world.large.done(pending);
    }
    if (pending.block !== null) this.journal.release(pending.block, pending.to - pending.from);
    pending.block = null;
    if (pending.ordered) {
      pending.done = true;
      session?.settle();
    } else {
      this.world.pendings.give(pending);
    }
    if (this.head === null) {
      this.flow.quiet();
      this.onQuiet?.();
      this.shard.laneQuiet(this);
    }
  }

  /** Engine rule 23: a small lane on which a large reply begins becomes a bulk lane at once. */
  #large(pending: Pending): void {
    const behind = this.inFlight - 1;
    if (pending.large === 0) this.world.large.begins(pending);
    pending.large = Math.max(pending.large, this.#replyBytes, this.#scanner.largest);
    pending.behind = Math.max(pending.behind, behind);
    if (this.kind !== 'small') return;
    this.kind = 'bulk';
    this.#input.widen();
    this.shard.laneTurnedBulk(this);
  }

  /** True when the reply of the first pending has begun but not ended. */
  get midReply(): boolean {
    return !this.#scanner.idle || !this.#collected.empty;
  }

  /** A part of this record's reply has been passed on, and the rest has not. */
  within(pending: Pending): boolean {
    return this.head === pending && !this.#scanner.idle;
  }

  /** Bytes put on it that the engine cannot have seen. */
  get unsent(): number {
    return this.journal.waiting;
  }

  /** What was in flight is decided by `failLane`: sent again, or an error that says what is known. */
  close(reason: string): void {
    if (this.state === 'closed') return;
    const was = this.state;
    this.state = 'closed';
    clearTimeout(this.#timer);
    this.#socket.destroy();
    this.flow.close();
    const first = this.head;
    this.head = this.#tail = null;
    this.inFlight = 0;
    this.shard.laneClosed(this, reason, was);
    this.onClosed?.(reason);
    failLane(this, first, reason);
    this.#collected.drop();
    this.world.answered();
  }

  question(args: readonly (string | Buffer)[], answer: (reply: Buffer | null) => void): void {
    this.ask(null, null, encodeCommand(args), 1, {
      onReply: (reply) => answer(reply),
      onLost: () => answer(null),
    });
  }
}
