/**
 * A pipeline (or MULTI ... EXEC) of ioredis: goes to one lane as a whole, in one piece. Its commands
 * are calls of their own all the same, so that a lost connection gives each its own fate: a read is
 * made again, a write of unknown outcome says so, in its own place of the result.
 */

import type { Call, Calling, Chain } from '../lanes/call.ts';
import type { Lane } from '../lanes/lane.ts';
import { firstDeadline, type Placeable } from '../lanes/placeable.ts';
import { IoCall } from './ioredis-call.ts';
import type { IoCommand } from './ioredis-shape.ts';

const transactional = new Set(['multi', 'exec', 'discard', 'watch', 'unwatch']);

export class IoBatch implements Placeable {
  readonly label: string;
  readonly calls: IoCall[];
  readonly bytesOut: number;
  readonly read: boolean;
  readonly place: Call['place'];
  readonly chain: Chain | undefined;
  readonly queuedAt: number;
  readonly transaction: boolean;
  settled = false;
  asked = 0;
  readonly #calling: Calling | undefined;
  readonly #run: (lane: Lane) => void;
  readonly #refuse: (error: unknown) => void;

  constructor(
    commands: readonly IoCommand[],
    calling: Calling | undefined,
    chain: Chain | undefined,
    run: (lane: Lane) => void,
    refuse: (error: unknown) => void,
  ) {
    this.calls = commands.map((command) => new IoCall(command, calling));
    const transaction = commands[0]?.name === 'multi';
    this.transaction = transaction;
    for (const call of this.calls) {
      if (transaction || transactional.has(call.name)) call.inTransaction = true;
      call.chain = chain;
    }
    this.label = `${transaction ? 'MULTI' : 'pipeline'} of ${commands.length}`;
    this.bytesOut = this.calls.reduce((sum, call) => sum + call.bytesOut, 0);
    this.read = this.calls.every((call) => call.read);
    this.place = this.calls.some((call) => call.place === 'barrier')
      ? 'barrier'
      : this.calls.some((call) => call.place === 'blocking')
        ? 'blocking'
        : 'data';
    this.chain = chain;
    this.queuedAt = this.calls[0]?.queuedAt ?? 0;
    this.#calling = calling;
    this.#run = run;
    this.#refuse = refuse;
  }

  get deadlineAt(): number {
    return firstDeadline(this.calls);
  }

  keys(): readonly string[] {
    return [...new Set(this.calls.flatMap((call) => call.keys()))];
  }

  send(lane: Lane): void {
    this.settled = true;
    this.#run(lane);
  }

  fail(error: unknown): void {
    if (this.settled) return;
    this.settled = true;
    for (const call of this.calls) call.fail(error);
    this.#refuse(error);
  }

  /**
   * EXEC, which the library queues when the batch is sent. The others are answered before it, and run with it:
   * so it is on the keys of all of them.
   */
  ending(command: IoCommand): IoCall {
    const call = new IoCall(command, this.#calling, this.keys());
    call.inTransaction = true;
    call.chain = this.chain;
    command.promise.catch(() => {});
    this.calls.push(call);
    return call;
  }
}
