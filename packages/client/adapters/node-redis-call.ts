/** A call over a node-redis connection. */
import type { Call, Calling } from '../lanes/call.ts';
import type { Lane } from '../lanes/lane.ts';
import type { Pool } from '../lanes/pool.ts';
import { asKnown } from '../lanes/unknown.ts';
import type { NodeLink } from './node-redis-link.ts';
import type { Outgoing } from './node-redis-outgoing.ts';
import { PromisedCall } from './node-redis-promised.ts';
import type { NodeClient, RedisArgument, TransformReply } from './node-redis-shape.ts';

/** What the adapter keeps of a lane's client. */
export interface NodeLaneParts {
  readonly client: NodeClient;
  readonly link: NodeLink;
}

export class NodeCall extends PromisedCall implements Outgoing {
  readonly typeMapping: unknown;
  transform: TransformReply | undefined;
  preserve: unknown;
  readonly #pool: Pool;

  constructor(
    args: readonly RedisArgument[],
    typeMapping: unknown,
    calling: Calling | undefined,
    pool: Pool,
  ) {
    super(args, calling);
    this.typeMapping = typeMapping;
    this.#pool = pool;
  }

  override send(lane: Lane): void {
    const { client, link } = lane.raw as NodeLaneParts;
    this.writtenAt = 0;
    this.headAt = 0;
    this.firstByteAt = 0;
    this.announced = 0;
    this.unreadError = false;
    if (this.name === 'select') this.#select(client, lane);
    else link.enqueue(this);
  }

  /** By the library's own method, which remembers the database for the next reconnect. */
  #select(client: NodeClient, lane: Lane): void {
    const over = (): boolean => this.#pool.release(this, lane);
    client.SELECT(Number(this.args[1])).then(
      () => {
        over();
        this.succeed('OK');
      },
      (error: unknown) => {
        over();
        this.fail(error);
      },
    );
  }

  override twin(): Call {
    const twin = new NodeCall(
      this.args as readonly RedisArgument[],
      this.typeMapping,
      undefined,
      this.#pool,
    );
    twin.promise.then(
      (reply) => this.reply(reply),
      // The original still stands in its own queue: its fate there is the answer if this one fails.
      noop,
    );
    return twin;
  }

  reply(reply: unknown): void {
    if (this.settled) return;
    // The server ended it because its caller gave up.
    if (reply === null && this.givenUp !== undefined) return this.fail(this.givenUp);
    const { transform } = this;
    if (transform === undefined) return this.succeed(reply);
    try {
      this.succeed(transform(reply, this.preserve, this.typeMapping));
    } catch (error) {
      this.fail(error);
    }
  }

  errorReply(error: Error): void {
    const { lane } = this;
    if (lane !== undefined && this.#pool.refused(this, lane, error)) return;
    this.fail(asKnown(error, this));
  }
}

function noop(): void {}
