/** A call over a node-redis cluster client, and what it puts on the connections of its nodes. */
import { performance } from 'node:perf_hooks';
import type { Call, Calling, Chain } from '../lanes/call.ts';
import type { Lane } from '../lanes/lane.ts';
import type { Pool } from '../lanes/pool.ts';
import { asKnown } from '../lanes/unknown.ts';
import type { Sent } from '../wire/wire.ts';
import { kCalling, kChain } from './face.ts';
import type { NodeLink } from './node-redis-link.ts';
import { PromisedCall } from './node-redis-promised.ts';
import { isConnectionError } from './node-redis-run.ts';
import {
  type CommandOptions,
  isErrorReply,
  type MakeRun,
  type NodeClient,
  type NodeCluster,
  type NodeParser,
} from './node-redis-shape.ts';
import { Overtaken, type SlotOrder, type Turn } from './node-redis-slots.ts';
import { Watched } from './node-redis-watched.ts';

/** What the adapter keeps of a lane's client. */
export interface ClusterParts {
  readonly cluster: NodeCluster;
  readonly links: Map<NodeClient, NodeLink>;
  readonly order: SlotOrder;
  link(client: NodeClient): NodeLink;
}

type Start = (
  lane: Lane,
  options: CommandOptions,
  make: (makeRun: MakeRun) => MakeRun,
) => Promise<unknown>;

export class ClusterCall extends PromisedCall {
  readonly #parser: NodeParser;
  readonly #options: CommandOptions | undefined;
  readonly #pool: Pool;
  readonly #start: Start;
  #parts: Watched[] = [];

  constructor(parser: NodeParser, options: CommandOptions | undefined, pool: Pool, start: Start) {
    const signal = options?.abortSignal;
    const calling = options?.[kCalling] as Calling | undefined;
    super(parser.redisArgs, signal instanceof AbortSignal ? { ...calling, signal } : calling);
    this.chain = options?.[kChain] as Chain | undefined;
    this.#parser = parser;
    this.#options = options;
    this.#pool = pool;
    this.#start = start;
  }

  override send(lane: Lane): void {
    this.writtenAt = 0;
    this.headAt = 0;
    this.firstByteAt = 0;
    this.bytesIn = 0;
    this.#parts = [];
    const { link, order } = lane.raw as ClusterParts;
    const options = { ...this.#options, timeout: undefined };
    const turns: Turn[] = [];
    const make =
      (makeRun: MakeRun): MakeRun =>
      (parser) => {
        const run = makeRun(parser);
        const turn = new PartTurn(this);
        turns.push(turn);
        return (client, more) => {
          const attempt = (): Promise<unknown> => {
            const part = new Watched(new Part(this), link(client));
            this.#parts.push(part);
            return run(client, { ...more, abortSignal: part });
          };
          const slot = more?.slotNumber;
          return slot === undefined ? attempt() : order.run(turn, slot, client._self, attempt);
        };
      };
    const end = (lost?: unknown): void => {
      for (const turn of turns) order.end(turn, lost);
    };
    this.#start(lane, options, make).then(
      (reply) => {
        this.#over(lane);
        end();
        this.succeed(reply);
      },
      (error: unknown) => {
        if (error instanceof Overtaken) {
          end();
          this.#pool.release(this, lane);
          return this.fail(error.refusal);
        }
        this.#failed(error, lane);
        end(isConnectionError(error) ? error : undefined);
      },
    );
  }

  #over(lane: Lane): void {
    this.#pool.answered(this, performance.now());
    this.#pool.release(this, lane);
  }

  #failed(error: unknown, lane: Lane): void {
    if (this.lane !== lane) return;
    // When it is closed the library has more words for it, from wherever the command was.
    const gone = isConnectionError(error) || (this.#pool.closed && !isErrorReply(error));
    if (gone) return this.#pool.lost(this, lane, this.writtenAt > 0, error);
    if (this.#pool.refused(this, lane, error)) return;
    this.#pool.release(this, lane);
    this.fail(asKnown(error, this));
  }

  /** A node would not run its part (it has moved): as long as nothing else of it is out there, it was never sent. */
  refused(part: Part): void {
    part.refused = true;
    if (this.#parts.every(({ sent }) => sent.writtenAt === 0 || (sent as Part).refused))
      this.writtenAt = 0;
  }

  override twin(): Call {
    const twin = new ClusterCall(this.#parser, this.#options, this.#pool, this.#start);
    // The original's fate is the answer if this one fails.
    twin.promise.then((reply) => this.succeed(reply), noop);
    return twin;
  }

  override fail(error: unknown): void {
    if (this.settled) return;
    super.fail(error);
    for (const part of this.#parts) part.drop();
  }
}

/** Of one of its commands, by which that keeps its place on its slot. */
class PartTurn implements Turn {
  readonly asked: number;
  readonly #call: ClusterCall;

  constructor(call: ClusterCall) {
    this.asked = call.asked;
    this.#call = call;
  }

  get settled(): boolean {
    return this.#call.settled;
  }

  get read(): boolean {
    return this.#call.read;
  }

  get several(): boolean {
    return this.#call.facts.keys !== 'one';
  }

  keys(): readonly string[] {
    return this.#call.keys();
  }
}

/** What a call put on one node's connection; the call takes its times from its parts. */
export class Part implements Sent {
  readonly name: string;
  readonly key: string | undefined;
  readonly call: ClusterCall;
  bytesOut: number;
  queuedAt: number;
  #writtenAt = 0;
  headAt = 0;
  firstByteAt = 0;
  bytesIn = 0;
  announced = 0;
  endpoint = '';
  refused = false;

  constructor(call: ClusterCall) {
    this.call = call;
    this.name = call.name;
    this.key = call.key;
    this.bytesOut = call.bytesOut;
    this.queuedAt = call.queuedAt;
  }

  get writtenAt(): number {
    return this.#writtenAt;
  }

  set writtenAt(at: number) {
    this.#writtenAt = at;
    if (this.call.writtenAt === 0) this.call.writtenAt = at;
  }

  answered(_now: number): void {
    const { call } = this;
    call.endpoint = this.endpoint;
    call.headAt = this.headAt;
    call.firstByteAt = this.firstByteAt;
    call.bytesIn += this.bytesIn;
  }
}

function noop(): void {}
