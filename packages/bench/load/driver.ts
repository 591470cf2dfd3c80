/**
 * The load of one thread: arrivals, requests, replies, books.
 *
 * Open loop: arrivals follow their own clock, and latency counts from the moment at which a request
 * was due. A server that stalls for a second then shows a second, a thousand times over; a loop that
 * waits for replies before it sends (as most load tools do) would show it once. How late the
 * generator itself was is kept apart, so that its own limit is never taken for the server's.
 */
import { performance } from 'node:perf_hooks';
import { Random } from '../data/random.ts';
import { MAX_REDIRECTS, REPLY_HEAD_BYTES } from '../limits.ts';
import { encode } from './asker.ts';
import { Book } from './book.ts';
import { NanoHistogram } from './histogram.ts';
import type { Lane, LaneOwner, Request } from './lane.ts';
import {
  compile,
  keyOf,
  logCommand,
  type Operation,
  patchDigits,
  registerCommand,
  type Template,
  waitCommand,
} from './profile.ts';
import type { ThreadOptions } from './protocol.ts';
import { type ReplyScanner, TYPE } from './reply-scanner.ts';
import { ClusterRoutes, type Routes, SingleRoutes } from './routes.ts';
import { finder } from './sentinels.ts';
import { slotOf } from './slots.ts';
import { Stream } from './streams.ts';
import { Unproven } from './unproven.ts';
import { OUTCOME } from './verdict.ts';

const ASKING = -1;
const ASKING_BYTES = encode(['ASKING']);
const NS = 1e6;

interface Compiled {
  readonly operation: Operation;
  readonly templates: readonly Template[];
  /** Upper end of this operation's part of 0..1. */
  readonly upTo: number;
}

export class Driver implements LaneOwner {
  readonly latency = new NanoHistogram();
  readonly lag = new NanoHistogram();
  readonly streams: Stream[] = [];
  readonly errors: Record<string, number> = {};
  readonly connectionsLost: Record<string, number> = {};
  readonly book = new Book();
  arrivals = 0;
  ok = 0;
  failed = 0;
  unknown = 0;
  shed = 0;
  redirects = 0;
  private readonly options: ThreadOptions;
  private readonly compiled: Compiled[] = [];
  private readonly random: Random;
  private readonly unknownError: RegExp;
  /** Replies to writes whose WAIT is on the way. */
  private readonly firstReplies = new Map<Request, { previous: number; refusal: string | null }>();
  private readonly unproven = new Unproven<Lane>();
  private readonly laneNumbers = new Map<Lane, number>();
  private readonly backlog: { operation: number; stream: number; intended: number }[] = [];
  private readonly byKind = { register: [] as number[], log: [] as number[] };
  private turnOf = 0;
  private routesOrNull: Routes | null = null;
  private measureFrom = 0;
  private running = false;

  constructor(options: ThreadOptions) {
    this.options = options;
    this.random = new Random(options.seed, options.thread + 1);
    this.unknownError = new RegExp(options.unknownError, 'i');
    const total = options.profile.operations.reduce((sum, op) => sum + op.weight, 0);
    let upTo = 0;
    for (const operation of options.profile.operations) {
      upTo += operation.weight / total;
      const templates = operation.kind === 'plain' ? compile(operation) : [];
      this.compiled.push({ operation, templates, upTo });
    }
  }

  async connect(): Promise<void> {
    const { cluster, targets, connections, protocol, sentinels } = this.options;
    const seed = targets[0];
    if (seed === undefined) throw new Error('a load needs at least one target');
    this.routesOrNull = cluster
      ? await ClusterRoutes.open(seed, connections, protocol, this)
      : new SingleRoutes(targets, connections, protocol, this, finder(seed, sentinels));
    this.makeStreams();
  }

  get routes(): Routes {
    if (this.routesOrNull === null) throw new Error('connect() comes first');
    return this.routesOrNull;
  }

  get connected(): number {
    return this.routes.lanes.filter((lane) => lane.ready).length;
  }

  get outstanding(): number {
    return this.routes.lanes.reduce((sum, l) => sum + l.outstanding, this.backlog.length);
  }

  begin(now: number): void {
    this.book.begin(now);
    this.measureFrom = now + this.options.warmUpMs;
    this.running = true;
    for (const lane of this.routes.lanes) lane.lastOkAt = now;
    if (this.options.pace.kind === 'open') return;
    for (const lane of this.routes.lanes) {
      for (let i = 0; i < this.options.pace.depth; i += 1) this.arrive(now, lane);
      lane.flush();
    }
  }

  stop(): void {
    this.running = false;
  }

  /** One request falls due at `intended`. Closed loops name their lane. */
  arrive(intended: number, lane?: Lane): void {
    this.arrivals += 1;
    const draw = this.random.unit();
    let index = 0;
    while (index < this.compiled.length - 1 && draw >= (this.compiled[index]?.upTo ?? 1))
      index += 1;
    const { operation } = this.operation(index);
    if (operation.kind === 'plain') {
      const subject = operation.keys === undefined ? 0 : this.random.below(operation.keys);
      const chosen =
        this.options.cluster || lane === undefined ? this.laneForPlain(index, subject) : lane;
      if (!chosen.enqueue(index, subject, 0, intended)) this.shed += 1;
      return;
    }
    this.arriveAtStream(index, operation.kind, intended, lane);
  }

  flushAll(): void {
    for (const lane of this.routes.lanes) lane.flush();
  }

  /** Ends every connection; what was on the way has an unknown outcome. */
  end(): void {
    for (const lane of this.routes.lanes) {
      for (const request of lane.unsent()) this.neverSent(request);
      lane.end();
    }
  }

  nameConnection = (connection: number): string => {
    const lane = Math.floor(connection / 1000);
    return `${this.options.thread}/${lane}#${connection % 1000}`;
  };

  gaps(now: number): { connection: string; ms: number; at: number }[] {
    return this.routes.lanes.map((lane) => {
      // Who waits at the end has waited until now; who was not asked anything has not waited.
      if (lane.outstanding > 0) lane.ok(now);
      return {
        connection: this.nameConnection(this.numberOf(lane)),
        ms: lane.longestGapMs,
        at: performance.timeOrigin + lane.longestGapAt,
      };
    });
  }

  encode(request: Request): Buffer {
    if (request.operation === ASKING) return ASKING_BYTES;
    const { operation, templates } = this.operation(request.operation);
    if (operation.kind !== 'plain') {
      const stream = this.stream(request.subject);
      if (operation.kind === 'log') return logCommand(stream.key, request.number);
      const set = registerCommand(stream.key, request.number, operation.valueBytes ?? 0);
      const { waitMs } = operation;
      return waitMs === undefined ? set : Buffer.concat([set, waitCommand(waitMs)]);
    }
    const template = templates.length > 1 ? this.random.pick(templates) : templates[0];
    if (template === undefined) throw new Error('an operation without a template');
    if (template.digitsAt >= 0) patchDigits(template.bytes, template.digitsAt, request.subject);
    return template.bytes;
  }

  replies(request: Request): number {
    if (request.operation === ASKING) return 1;
    const { operation } = this.operation(request.operation);
    return operation.kind === 'plain' || operation.waitMs === undefined ? 1 : 2;
  }

  /** The reply of a write whose WAIT is still to come. */
  repliedFirst(request: Request, scanner: ReplyScanner): void {
    const previous = scanner.type === TYPE.error || scanner.isNull ? 0 : scanner.headInteger();
    const refusal = scanner.type === TYPE.error ? scanner.headText() : null;
    this.firstReplies.set(request, { previous, refusal });
  }

  sent(lane: Lane, request: Request): void {
    if (request.number === 0) return;
    const at = performance.timeOrigin + performance.now();
    this.stream(request.subject).sent(request.number, at, this.numberOf(lane));
  }

  replied(lane: Lane, request: Request, scanner: ReplyScanner, now: number): void {
    if (request.operation === ASKING) return;
    const first = this.firstReplies.get(request);
    this.firstReplies.delete(request);
    const refusal = first?.refusal ?? (scanner.type === TYPE.error ? scanner.headText() : null);
    if (refusal !== null) {
      // A WAIT that failed says nothing of its write: that was answered.
      const written = first !== undefined && first.refusal === null;
      if (this.error(lane, request, refusal, now, written) === 'sent-on') return;
    } else {
      this.ok += 1;
      lane.ok(now);
      if (request.intended >= this.measureFrom) this.latency.record((now - request.intended) * NS);
      this.book.succeeded(request.intended, now);
      if (first === undefined) {
        const previous = scanner.isNull ? 0 : scanner.headInteger();
        this.settle(request, OUTCOME.acknowledged, now, previous);
      } else {
        const held = scanner.headInteger() > 0;
        this.unproven.answered(lane, request.intended, held);
        const outcome = held ? OUTCOME.acknowledged : OUTCOME.unknown;
        this.settle(request, outcome, now, first.previous);
      }
    }
    if (this.running && this.options.pace.kind === 'closed') this.arrive(now, lane);
  }

  lost(lane: Lane, request: Request, now: number): void {
    if (request.operation === ASKING) return;
    this.firstReplies.delete(request);
    this.unknown += 1;
    this.failed += 1;
    this.book.failed('connection-lost', request.intended, now, request.intended);
    this.settle(request, OUTCOME.unknown, now, 0);
    if (this.running && this.options.pace.kind === 'closed') this.arrive(now, lane);
  }

  connectionLost(lane: Lane, reason: string): void {
    this.unproven.ended(lane);
    this.connectionsLost[reason] = (this.connectionsLost[reason] ?? 0) + 1;
  }

  turn(lane: Lane): void {
    if (this.options.pace.kind !== 'closed') return;
    // On a cluster the next request of this turn may belong to any node.
    if (this.options.cluster) this.flushAll();
    else lane.flush();
  }

  private error(
    lane: Lane,
    request: Request,
    line: string,
    now: number,
    written: boolean,
  ): 'sent-on' | 'settled' {
    const [code = 'ERR', slot, address] = line.split(' ', 3);
    if ((code === 'MOVED' || code === 'ASK') && slot !== undefined && address !== undefined) {
      this.redirects += 1;
      if (request.redirects < MAX_REDIRECTS) {
        const next = this.routes.redirected(Number(slot), address, code === 'MOVED');
        if (code === 'ASK') next.enqueue(ASKING, 0, 0, request.intended);
        const { operation, subject, number, intended, redirects } = request;
        if (next.enqueue(operation, subject, number, intended, redirects + 1)) {
          if (next !== lane) next.flush();
          return 'sent-on';
        }
      }
    }
    this.failed += 1;
    const shown = code === 'ERR' ? line.slice(0, REPLY_HEAD_BYTES) : code;
    this.errors[shown] = (this.errors[shown] ?? 0) + 1;
    const since = this.unproven.refused(lane, request.intended);
    this.book.failed(shown, request.intended, now, since);
    const mayHaveHappened = written || this.unknownError.test(line);
    this.settle(request, mayHaveHappened ? OUTCOME.unknown : OUTCOME.refused, now, 0);
    return 'settled';
  }

  private settle(request: Request, outcome: number, now: number, previous: number): void {
    if (request.number === 0) return;
    const stream = this.stream(request.subject);
    stream.ended(request.number, outcome, performance.timeOrigin + now, previous);
    stream.inFlight -= 1;
    if (this.backlog.length > 0) this.sendBacklog();
  }

  private neverSent(request: Request): void {
    if (request.number > 0) this.stream(request.subject).neverSent(request.number);
  }

  private arriveAtStream(
    index: number,
    kind: 'register' | 'log',
    intended: number,
    lane: Lane | undefined,
  ): void {
    const all = this.byKind[kind];
    this.turnOf += 1;
    // A closed loop writes to its own connection's streams; each stream has one connection anyway.
    const perLane = this.options.profile.streamsPerConnection ?? 1;
    const number =
      lane === undefined || this.options.cluster
        ? all[this.turnOf % all.length]
        : all[this.laneIndex(lane) * perLane + (this.turnOf % perLane)];
    if (number === undefined) throw new Error(`no ${kind} to write to`);
    if (this.options.cluster && this.stream(number).inFlight > 0) {
      this.backlog.push({ operation: index, stream: number, intended });
      return;
    }
    this.writeStream(index, number, intended);
  }

  private writeStream(index: number, number: number, intended: number): void {
    const stream = this.stream(number);
    const lane = this.options.cluster
      ? this.routes.forSlot(slotOf(stream.key), number)
      : this.routes.forSlot(0, this.ownerOf(number));
    const n = stream.next();
    if (lane.enqueue(index, number, n, intended)) {
      stream.inFlight += 1;
    } else {
      stream.neverSent(n);
      this.shed += 1;
    }
  }

  private sendBacklog(): void {
    for (let i = 0; i < this.backlog.length; i += 1) {
      const entry = this.backlog[i];
      if (entry === undefined || this.stream(entry.stream).inFlight > 0) continue;
      this.backlog.splice(i, 1);
      i -= 1;
      this.writeStream(entry.operation, entry.stream, entry.intended);
    }
  }

  private laneForPlain(index: number, subject: number): Lane {
    const template = this.operation(index).templates[0];
    if (!this.options.cluster || template === undefined || template.digitsAt < 0) {
      return this.routes.any();
    }
    return this.routes.forSlot(slotOf(keyOf(subject)), subject);
  }

  private makeStreams(): void {
    const { profile, connections, run, thread } = this.options;
    const tag = profile.tag === undefined ? '' : `{${profile.tag}}:`;
    const perLane = profile.streamsPerConnection ?? 1;
    for (const kind of ['register', 'log'] as const) {
      if (!profile.operations.some((op) => op.kind === kind)) continue;
      for (let i = 0; i < connections * perLane; i += 1) {
        this.byKind[kind].push(this.streams.length);
        this.streams.push(
          new Stream(kind, Buffer.from(`witness:${tag}${run}:${kind}:${thread}:${i}`)),
        );
      }
    }
  }

  /** The connection that owns a stream, when there is no cluster. */
  private ownerOf(stream: number): number {
    const perLane = this.options.profile.streamsPerConnection ?? 1;
    const registers = this.byKind.register.length;
    const index = this.stream(stream).kind === 'register' ? stream : stream - registers;
    return Math.floor(index / perLane);
  }

  private laneIndex(lane: Lane): number {
    return Math.floor(this.numberOf(lane) / 1000) % this.options.connections;
  }

  private numberOf(lane: Lane): number {
    let index = this.laneNumbers.get(lane);
    if (index === undefined) {
      index = this.routes.lanes.indexOf(lane);
      this.laneNumbers.set(lane, index);
    }
    return index * 1000 + (lane.incarnation % 1000);
  }

  private operation(index: number): Compiled {
    const compiled = this.compiled[index];
    if (compiled === undefined) throw new Error(`no operation ${index}`);
    return compiled;
  }

  private stream(index: number): Stream {
    const stream = this.streams[index];
    if (stream === undefined) throw new Error(`no stream ${index}`);
    return stream;
  }
}
