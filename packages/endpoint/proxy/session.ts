/**
 * One client connection: its input, the order of its replies, its output.
 *
 * Input comes in chunks that hold many commands, or a part of one. The loop in `#process` takes the
 * plain ones (route by first key, pass on) without leaving; neighbours with the same lane and command
 * become one range. Everything else goes to `dispatch`. When a command cannot go on now (its shard is
 * held, its lane is full, an order must be kept), the session *stalls*: the rest of its input stays
 * as it is, the socket is not read, and whoever removes the obstacle wakes it. So a client that waits
 * costs nothing. Behind a blocking command it is read on: that it closes is read, too.
 *
 * The other halves: `reply-order.ts` (whose turn it is), `output.ts` (one write a tick),
 * `session-lanes.ts` (where its commands go), `session-state.ts` (who it is).
 */
import {
  FULL_BOUNDS,
  type RequestBounds,
  RequestScanner,
  SCAN_BROKEN,
  SCAN_COMMAND,
  SCAN_EMPTY,
  SCAN_MORE,
} from '../../resp/scan-request.ts';
import type { Command } from '../../resp/table/index.ts';
import type { AdmittedClient } from '../data-path.ts';
import { HeldMessages } from './collected.ts';
import { contained } from './contained.ts';
import { readInto } from './direct-read.ts';
import { dispatch } from './dispatch.ts';
import { KeptInput } from './kept-input.ts';
import type { Lane } from './lane.ts';
import { CLIENT_IN_FLIGHT, INPUT_BYTES } from './limits.ts';
import { Output } from './output.ts';
import { BEFORE_LOGIN, PartialCommand } from './partial.ts';
import type { Pending, Pieces } from './pending.ts';
import type { ProxyPath } from './proxy.ts';
import { ReplyOrder } from './reply-order.ts';
import { SessionLanes } from './session-lanes.ts';
import { SessionState } from './session-state.ts';
import type { Shard } from './shard.ts';
import { laneOrWait, ShardWaits } from './shard-waits.ts';
import { plainShard } from './short-way.ts';

/** What every session is read into. Plain commands are taken out of it; all else works on a copy. */
const input = Buffer.allocUnsafeSlow(INPUT_BYTES);

/** One scanner for all sessions: a session whose command is not complete has its own. */
const scanner = new RequestScanner();

/** What `dispatch` did with a command. */
export const TAKEN = 0;
/** Not now; the session is stalled and the command is offered again. */
export const STALLED = 1;
/** The session is ending. */
export const ENDED = 2;

export class Session {
  readonly proxy: ProxyPath;
  readonly client: AdmittedClient;
  readonly id: string;
  readonly lanes: SessionLanes;
  readonly order: ReplyOrder;
  readonly output: Output;
  readonly state: SessionState;
  /** No longer served; replies still on their way are dropped. */
  gone = false;
  /** Why it is stalled, or ''. */
  stalled = '';
  commands = 0;
  lastCommand = '';
  activeAt: number;
  readonly bornAt: number;
  /** CLIENT UNBLOCK named it: the error it gets is meant for it. */
  unblocked = false;
  /** Reasons to start nothing new: a command to be sent again, or one that waits for what others do... */
  #gates = 0;
  /** ...which is a blocking one or a WAIT. */
  blocked = false;
  readonly waits = new ShardWaits();
  readonly #kept = new KeptInput();
  #partial: PartialCommand | null = null;
  #touched = false;
  /** Came while a reply was half written. */
  readonly held = new HeldMessages(this);

  constructor(proxy: ProxyPath, client: AdmittedClient) {
    this.proxy = proxy;
    this.client = client;
    this.id = client.id;
    this.activeAt = this.bornAt = proxy.world.now;
    this.lanes = new SessionLanes(this);
    this.order = new ReplyOrder(this);
    this.output = new Output(proxy.world, client.socket, () => this.end('output-memory'));
    this.state = new SessionState(this);
    const { socket } = client;
    readInto(socket, input, (length) => contained(this, () => this.#onInput(length)));
    socket.on('end', () => {
      if (this.gone) return;
      // What it sent before it closed its side is still answered; but nobody waits for somebody who
      // has left: a blocking pop would take an element for nobody.
      if (this.blocked && this.state.running === null) this.end('client-closed');
      else if (this.#kept.bytes === null) this.endWhenQuiet('client-closed');
      else this.#kept.last = true;
    });
    socket.on('close', () => {
      if (!this.gone) this.#leave(true);
      else this.output.drop(true);
      this.proxy.sessions.delete(this.id);
    });
    socket.resume();
  }

  #onInput(length: number): void {
    if (this.gone) return;
    const { world } = this.proxy;
    world.arrived();
    this.activeAt = world.now;
    if (this.stalled !== '') {
      this.#kept.add(input.subarray(0, length));
      if (this.#kept.full) this.client.socket.pause();
      return;
    }
    const partial = this.#partial;
    if (partial === null) return this.#process(input, length);
    world.partialBytes += length;
    const whole = partial.add(input.subarray(0, length), this.bounds, world.partialBytes);
    if (whole === null) return;
    world.partialBytes -= partial.length;
    this.#partial = null;
    this.#process(whole, whole.length);
  }

  /** No private getter: each use of one is a call into V8's runtime. */
  get bounds(): RequestBounds {
    return this.state.user === null ? BEFORE_LOGIN : FULL_BOUNDS;
  }

  #process(chunk: Buffer, length: number): void {
    const { world, table } = this.proxy;
    if (!this.lanes.follow(world.topology.version)) {
      this.#kept.bytes = Buffer.from(chunk.subarray(0, length));
      return this.stall('slots-moved');
    }
    let [bytes, end, at] = [chunk, length, 0];
    // A run: neighbouring plain commands of one kind for one lane.
    let runLane: Lane | null = null;
    let runShard = -1;
    let runCommand: Command | null = null;
    let runStart = 0;
    let runCount = 0;
    // Where the last command of the run begins.
    let last = 0;
    let ahead = this.lanes.readsAhead;
    while (at < end) {
      const alike: boolean = runCommand !== null && scanner.again(bytes, last, at, end);
      const found = alike ? SCAN_COMMAND : scanner.scan(bytes, at, end, this.bounds);
      if (found === SCAN_COMMAND && table !== null && this.state.plain && this.#gates === 0) {
        const command: Command | null = alike
          ? runCommand
          : table.find(bytes, scanner.starts[0] ?? 0, scanner.ends[0] ?? 0);
        const shard = command?.plain === true ? plainShard(this, command, bytes, scanner) : -1;
        // While this turn lasts, nothing closes or fills a lane.
        const lane: Lane | null = shard === runShard ? runLane : this.lanes.plain(shard);
        if (lane !== null && command !== null && (ahead > 0 || !command.readonly)) {
          ahead--;
          last = at;
          if (lane === runLane && command === runCommand) {
            runCount++;
          } else {
            if (runLane !== null && runCommand !== null) {
              this.#sendRun(runLane, runCommand, bytes, runStart, at, runCount);
            }
            runLane = lane;
            runShard = shard;
            runCommand = command;
            runStart = at;
            runCount = 1;
          }
          at = scanner.end;
          continue;
        }
      }
      if (runLane !== null && runCommand !== null) {
        this.#sendRun(runLane, runCommand, bytes, runStart, at, runCount);
        runLane = null;
        runShard = -1;
        runCommand = null;
      }
      if (found === SCAN_MORE) {
        // The next scan is of another session's bytes: what is half read is this one's alone.
        scanner.reset();
        this.#partial = new PartialCommand(bytes.subarray(at, end), this.bounds);
        world.partialBytes += end - at;
        break;
      }
      if (bytes === input && found !== SCAN_BROKEN && found !== SCAN_EMPTY) {
        // Others may keep what they are given: from here on the bytes are this session's own.
        bytes = Buffer.from(input.subarray(at, end));
        end -= at;
        at = 0;
        continue;
      }
      const next = scanner.end;
      if (found === SCAN_BROKEN) {
        this.reply(Buffer.from(`-ERR ${scanner.problem}\r\n`, 'latin1'));
        this.endWhenQuiet('protocol-error');
        return;
      }
      if (found !== SCAN_EMPTY) {
        const took = dispatch(this, bytes, at, found, scanner);
        if (took === ENDED || this.gone) return;
        if (took === STALLED) {
          this.#kept.bytes = at === 0 ? bytes : bytes.subarray(at);
          return;
        }
      }
      at = next;
    }
    if (runLane !== null && runCommand !== null) {
      this.#sendRun(runLane, runCommand, bytes, runStart, at, runCount);
    }
    this.waits.clear();
    if (this.#touched) world.schedule();
    if (this.lanes.total > CLIENT_IN_FLIGHT) this.stall('too-many-in-flight');
  }

  #sendRun(
    lane: Lane,
    command: Command,
    bytes: Buffer,
    start: number,
    end: number,
    count: number,
  ): void {
    this.commands += count;
    this.lastCommand = command.name;
    this.proxy.world.meter.of(command).requestBytes.add((end - start) / count, count);
    if (command.write) this.lanes.wrote(lane, command);
    lane.send(this, command, bytes, start, end, count);
  }

  /** A lane of this shard, or null after having stalled. */
  laneFor(shard: Shard, large: boolean, command: Command | null = null): Lane | null {
    return laneOrWait(this, shard, large, command);
  }

  /** Executes nothing until woken. */
  stall(reason: string): void {
    if (this.stalled === '' && !this.blocked) this.client.socket.pause();
    this.stalled = reason;
  }

  /** The same, because of a shard; bounded in time. */
  stallFor(shard: Shard | null): void {
    this.stall(shard === null ? 'no-shard' : shard.obstacle || shard.trouble || 'lane-busy');
    this.waits.begin(shard, this.proxy.world.now);
    if (shard !== null) shard.waiters.add(this);
    this.proxy.patient.add(this);
  }

  /** It has waited too long for this shard. */
  overdue(shard: Shard | null): boolean {
    return this.waits.over(shard, this.proxy.world.now);
  }

  resume(): void {
    const { running } = this.state;
    if (running !== null) contained(this, () => running.goOn());
    const { ending, running: still } = this.state;
    if (this.gone || this.stalled === '' || ending !== '' || still !== null) return;
    this.stalled = '';
    const rest = this.#kept.take();
    if (rest !== null) contained(this, () => this.#process(rest, rest.length));
    if (this.blocked && this.#kept.last) this.end('client-closed');
    else if (this.blocked && !this.#kept.full) this.client.socket.resume();
    if (this.gone || this.stalled !== '') return;
    this.proxy.patient.delete(this);
    if (this.#kept.last) this.endWhenQuiet('client-closed');
    else this.client.socket.resume();
  }

  /** One more, or one fewer, reason to start nothing new. */
  gate(change: 1 | -1, blocks = false): void {
    this.#gates += change;
    if (blocks) this.blocked = change > 0;
    if (this.#gates === 0 && this.stalled !== '') this.proxy.world.wake(this);
  }

  get gated(): boolean {
    return this.#gates > 0;
  }

  /** Replies of `count` commands of this shard have come, or never will. */
  landed(shard: number, count: number): void {
    this.lanes.landed(shard, count);
    this.held.letOut();
    if (this.stalled !== '') this.proxy.world.wake(this);
  }

  /** Nothing is due, nothing half read: a moment to leave without loss. */
  get atBoundary(): boolean {
    return (
      this.order.head === null &&
      this.lanes.total === 0 &&
      this.#partial === null &&
      this.#kept.bytes === null
    );
  }

  // --- replies -------------------------------------------------------------------------------

  /** A record is complete: it, and what was complete behind it, leaves. */
  settle(): void {
    const quiet = this.order.settle();
    this.held.letOut();
    if (!quiet) return;
    this.state.quiet();
    if (this.stalled !== '') this.proxy.world.wake(this);
  }

  fill(place: Pending, reply: Buffer | Pieces): void {
    if (this.gone) return;
    this.order.fill(place, reply);
    this.settle();
    this.proxy.world.schedule();
  }

  /** Answers at once, or when its turn comes. */
  reply(text: string | Buffer): void {
    const bytes = typeof text === 'string' ? Buffer.from(text) : text;
    this.order.answered(bytes);
    if (this.order.head === null) {
      if (this.order.muting) return;
      this.push(bytes, 0, bytes.length);
      this.proxy.world.schedule();
      return;
    }
    this.order.queue(bytes);
  }

  /** Sends what is no reply (a message, a monitor's line): between replies, never within one. */
  message(bytes: Buffer): void {
    const { head, within } = this.order;
    if (within || !this.held.empty || (head !== null && head.lane?.within(head) === true)) {
      this.held.push(bytes);
      if (this.held.bytes > this.state.most) this.end('output-buffer-limit');
      return;
    }
    this.push(bytes, 0, bytes.length);
    this.proxy.world.schedule();
  }

  /** Bytes for the client: a range of a chunk that nobody changes any more. */
  push(chunk: Buffer, start: number, end: number): void {
    if (this.gone) return;
    if (!this.#touched) {
      this.#touched = true;
      this.proxy.world.sessionToFlush(this);
    }
    this.output.add(chunk, start, end);
  }

  flush(): void {
    this.#touched = false;
    if (this.gone) return;
    const unread = this.output.flush();
    if (unread > this.state.most) this.end('output-buffer-limit');
  }

  /** After the replies that are due. */
  endWhenQuiet(reason: string): void {
    this.state.ending = reason;
    this.state.refresh();
    this.stall(reason);
    if (this.order.head === null) this.state.quiet();
  }

  end(reason: string, lastWords?: string): void {
    if (this.gone) return;
    if (lastWords !== undefined) this.flush();
    if (this.gone) return;
    this.#leave(lastWords === undefined);
    if (lastWords === undefined) this.client.end(reason);
    else this.output.whenIdle((taken) => this.client.end(reason, taken ? lastWords : undefined));
  }

  #leave(lost: boolean): void {
    this.gone = true;
    this.state.leave();
    this.lanes.leave();
    this.proxy.monitors.remove(this);
    this.proxy.patient.delete(this);
    for (const shard of this.proxy.world.topology.shards) shard.waiters.delete(this);
    this.output.drop(lost);
    if (this.#partial !== null) this.proxy.world.partialBytes -= this.#partial.length;
    this.#partial = null;
    this.#kept.bytes = null;
  }
}
