/** A call of node-redis: its promise is the kit's own, so that it may outlive the connection. */
import { Call, type Calling } from '../lanes/call.ts';
import { tellFailed } from '../telemetry/tell.ts';

export abstract class PromisedCall extends Call {
  readonly promise: Promise<unknown>;
  #resolve: (reply: unknown) => void = noop;
  #reject: (error: unknown) => void = noop;

  /** `args`: its name, and what follows. */
  constructor(args: readonly unknown[], calling: Calling | undefined) {
    const name = args[0];
    super(typeof name === 'string' ? name : String(name), args, 1, calling);
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  override combine(rest: (reply: unknown) => Promise<unknown>): void {
    const resolve = this.#resolve;
    this.#resolve = (reply) => resolve(rest(reply));
  }

  override succeed(reply: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.#resolve(reply);
  }

  override fail(error: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.unheed();
    tellFailed(this, error);
    this.#reject(error);
  }
}

function noop(): void {}
