/** A call whose promise belongs to an ioredis (or iovalkey) Command object. */
import { UnknownOutcomeError } from '../errors.ts';
import { Call, type Calling } from '../lanes/call.ts';
import type { Lane } from '../lanes/lane.ts';
import { shown } from '../telemetry/explain.ts';
import { kCall, type Tagged } from './ioredis-link.ts';
import type { IoCommand, IoCommandClass, IoRedis } from './ioredis-shape.ts';

export class IoCall extends Call {
  readonly command: IoCommand;
  /** Somebody looks at how its promise ends. */
  watched = false;
  readonly #stream: unknown;

  constructor(command: IoCommand, calling: Calling | undefined, stream?: unknown) {
    super(command.name, command.args, 0, calling);
    this.command = command;
    this.#stream = stream;
    if (command.inTransaction === true) this.inTransaction = true;
    (command as IoCommand & Tagged)[kCall] = this;
  }

  override send(lane: Lane): void {
    this.writtenAt = 0;
    this.headAt = 0;
    this.firstByteAt = 0;
    this.announced = 0;
    (lane.raw as IoRedis).sendCommand(this.command, this.attempts > 1 ? undefined : this.#stream);
  }

  /** The library rejects what is on a connection that it ends with words of its own. */
  override giveUp(error: unknown): void {
    super.giveUp(error);
    const { command } = this;
    const { reject } = command;
    command.reject = () => reject.call(command, error);
  }

  /** Its connection ended when its fate was the library's: nothing else would settle it. */
  lostAfterwards(written: boolean, cause: unknown): void {
    const { command, name, key } = this;
    const unknown = written && !this.read;
    command.reject(
      unknown ? new UnknownOutcomeError(name.toUpperCase(), shown(key), cause) : cause,
    );
  }

  override succeed(reply: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.command.resolve(reply);
  }

  override fail(error: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.unheed();
    this.command.reject(error);
  }

  override duplicate(lane: Lane): void {
    const Twin = this.command.constructor as IoCommandClass;
    const twin = new Twin(this.command.name, this.command.args, { replyEncoding: null });
    // The raw reply goes to the original, which decodes it as its caller asked for.
    twin.resolve = (reply) => this.succeed(reply);
    // The original still stands in its own queue: its reply, or its fate there, is the answer then.
    twin.reject = () => {};
    (lane.raw as IoRedis).sendCommand(twin);
  }
}
