/**
 * `$` of a blocking XREAD: whatever comes after the moment in which it was asked. When another engine has
 * to be asked for the rest of the time, `$` would be the end that the stream has then, and what was added
 * between the two engines would never be read. So the end is asked for just before the command, on its own
 * connection, and takes the place of `$` if it is issued again. What others add between these two is read
 * as if the command had come a moment earlier.
 */
import { isWord } from '../../resp/table/index.ts';
import type { Lane } from './lane.ts';
import { payload, splitArray } from './raw-reply.ts';

const ARRAY = 0x2a;
const DOLLAR = Buffer.from('$');
const EMPTY = Buffer.from('0-0');

export class StreamEnds {
  readonly #args: Buffer[];
  readonly #ends = new Map<number, Buffer>();
  /** Of the first key, and how many keys there are. */
  readonly #first: number;
  readonly #keys: number;

  /** `args`: of the command, which is changed by `fix`. */
  constructor(args: Buffer[]) {
    this.#args = args;
    const xread = isWord('xread', args[0] ?? EMPTY, 0, args[0]?.length ?? 0);
    this.#first = xread ? args.findIndex((arg) => isWord('streams', arg, 0, arg.length)) + 1 : 0;
    this.#keys = this.#first === 0 ? 0 : (args.length - this.#first) / 2;
  }

  ask(lane: Lane): void {
    for (let i = 0; i < this.#keys; i++) {
      const at = this.#first + this.#keys + i;
      const key = this.#args[this.#first + i];
      if (key === undefined || this.#args[at]?.equals(DOLLAR) !== true) continue;
      lane.question(['XREVRANGE', key, '+', '-', 'COUNT', '1'], (reply) => {
        // No stream: the command says so itself.
        if (reply?.[0] !== ARRAY) return;
        const [last] = splitArray(reply);
        const [id] = last === undefined ? [] : splitArray(last);
        this.#ends.set(at, id === undefined ? EMPTY : Buffer.from(payload(id)));
      });
    }
  }

  fix(): void {
    for (const [at, id] of this.#ends) this.#args[at] = id;
  }
}
