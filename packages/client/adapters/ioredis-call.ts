/**
 * A call whose promise belongs to an ioredis (or iovalkey) Command object.
 *
 * A cluster client marks a command as its own when it gets it: whatever becomes of the command later, that
 * client sends it where it thinks right, over its own connections, also when another client has it by then.
 * So a call that is made again on another lane is a new command there, which settles the first one's promise.
 */
import { UnknownOutcomeError } from '../errors.ts';
import { Call, type Calling } from '../lanes/call.ts';
import type { Lane } from '../lanes/lane.ts';
import { shown } from '../telemetry/explain.ts';
import { tellFailed } from '../telemetry/tell.ts';
import { kCall, type Tagged } from './ioredis-link.ts';
import type { IoCommand, IoCommandClass, IoRedis } from './ioredis-shape.ts';

export class IoCall extends Call {
  readonly command: IoCommand;
  /** Somebody looks at how its promise ends. */
  watched = false;
  /** The library's own, past what a cluster client puts in its place. */
  readonly #reject: (error: unknown) => void;
  /** The command that is on its way: another one than `command` when a cluster client makes it again. */
  #attempt: IoCommand;

  /** The keys that it stands for, where its own arguments do not name them. */
  readonly #keys: readonly string[] | undefined;

  constructor(command: IoCommand, calling: Calling | undefined, keys?: readonly string[]) {
    super(command.name, command.args, 0, calling);
    this.#keys = keys;
    this.command = command;
    this.#attempt = command;
    this.#reject = command.reject;
    if (command.inTransaction === true) this.inTransaction = true;
    (command as IoCommand & Tagged)[kCall] = this;
  }

  override keys(): readonly string[] {
    return this.#keys ?? super.keys();
  }

  override send(lane: Lane): void {
    this.writtenAt = 0;
    this.headAt = 0;
    this.firstByteAt = 0;
    this.announced = 0;
    const redis = lane.raw as IoRedis;
    if (this.attempts > 1 && redis.isCluster) this.#again();
    redis.sendCommand(this.#attempt);
  }

  override combine(rest: (reply: unknown) => Promise<unknown>): void {
    const { command } = this;
    const { resolve } = command;
    command.resolve = (reply) => rest(reply).then((all) => resolve.call(command, all));
  }

  #again(): void {
    const twin: IoCommand & Tagged = this.#copy();
    const { command } = this;
    const { resolve, reject } = twin;
    twin[kCall] = this;
    twin.resolve = (reply) => {
      command.setReplyContext?.(twin);
      command.resolve(reply);
      return resolve(reply);
    };
    twin.reject = (error) => {
      this.#reject.call(command, error);
      reject(error);
    };
    twin.promise.catch(noop);
    this.#attempt = twin;
  }

  /** The same command, whose raw reply goes to the original, which decodes it as its caller asked for. */
  #copy(): IoCommand {
    const { command } = this;
    const Twin = command.constructor as IoCommandClass;
    return new Twin(command.name, command.args, { replyEncoding: null });
  }

  /** The library rejects what is on a connection that it ends with words of its own. */
  override giveUp(error: unknown): void {
    super.giveUp(error);
    const attempt = this.#attempt;
    const { resolve } = attempt;
    const reject = (): void => this.#reject.call(this.command, error);
    attempt.reject = reject;
    // Nothing is what the server answers to a command that it ended for its caller.
    attempt.resolve = (reply) => (reply === null ? reject() : resolve.call(attempt, reply));
  }

  /** Its connection ended when its fate was the library's: nothing else would settle it. */
  lostAfterwards(written: boolean, cause: unknown): void {
    const { command, name, key } = this;
    const unknown = written && !this.read;
    const error = unknown ? new UnknownOutcomeError(name.toUpperCase(), shown(key), cause) : cause;
    tellFailed(this, error);
    command.reject(error);
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
    tellFailed(this, error);
    this.#reject.call(this.command, error);
  }

  override twin(): IoCall {
    const copy = this.#copy();
    const { resolve } = copy;
    copy.resolve = (reply) => {
      this.succeed(reply);
      return resolve(reply);
    };
    // The original still stands in its own queue: its reply, or its fate there, is the answer then.
    copy.promise.catch(noop);
    return new IoCall(copy, undefined);
  }
}

function noop(): void {}
