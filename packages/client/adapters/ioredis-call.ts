/**
 * A call whose promise belongs to an ioredis (or iovalkey) Command object.
 *
 * A cluster client marks a command as its own when it is given one: whatever becomes of the command later, that
 * client sends it where it thinks right, over its own connections, also when another client has it by then.
 * So a call of those that it is given (see ioredis-put.ts) is a new command when it is made again on another lane,
 * which settles the first one's promise.
 */
import { firstKey } from '../commands/keys.ts';
import { Call, type Calling } from '../lanes/call.ts';
import type { Lane } from '../lanes/lane.ts';
import { tellFailed } from '../telemetry/tell.ts';
import { kCall, type Tagged } from './ioredis-link.ts';
import type { Routed } from './ioredis-routed.ts';
import type { IoCommand, IoCommandClass, IoRedis } from './ioredis-shape.ts';

export class IoCall extends Call {
  readonly command: IoCommand;
  /** Over a cluster client: its way to the node of its slot. */
  routed: Routed | undefined;
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
    (lane.raw as IoRedis).sendCommand(this.command);
  }

  /** Of its first key; also of commands whose keys the library does not know, in any spelling of their name. */
  get slot(): number | null {
    const { command } = this;
    const slot = this.routed?.slot ?? command.getSlot();
    if (slot !== null || this.key === undefined) return slot;
    const Twin = command.constructor as IoCommandClass;
    const get = new Twin('get', [firstKey(this.facts, this.args, 0)], { replyEncoding: null });
    get.promise.catch(noop);
    const found = get.getSlot();
    if (this.routed !== undefined && found !== null) this.routed.slot = found;
    return found;
  }

  /** For a cluster client: another command when it is made again. */
  renewed(): IoCommand {
    if (this.attempts > 1) this.#again();
    return this.#attempt;
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

  override succeed(reply: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.command.resolve(reply);
  }

  override fail(error: unknown): void {
    if (this.settled) return;
    // A batch that is not sent yet ends as a whole: what its caller was told of a part would not be true of it.
    const batch = this.routed?.batch;
    if (batch !== undefined && !batch.settled) return batch.fail(error);
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
