/**
 * The reading side of a lane: one buffer, read into again and again, so that a reply costs no
 * allocation. Two things come in between. A reply may begin at the end of a read: its first bytes are
 * moved to just before the place where the next read begins. And somebody may have to keep what came
 * (`world.retained`): then the buffer is theirs, and the lane goes on with a new one.
 *
 * A lane of one session alone gets its bytes from the stream: there may be thousands, mostly idle.
 */
import type { Socket } from 'node:net';
import { readInto } from './direct-read.ts';
import type { LaneKind } from './lane.ts';
import { BULK_INPUT_BYTES, LANE_CARRY_BYTES, LANE_INPUT_BYTES } from './limits.ts';
import type { World } from './world.ts';

/** Uses [at, end) of a chunk; answers where the part begins that must be offered again, with more. */
export type Take = (chunk: Buffer, at: number, end: number) => number;

export class LaneInput {
  readonly #world: World;
  readonly #take: Take;
  #buffer: Buffer | null = null;
  #size = LANE_INPUT_BYTES;
  /** The last read filled its buffer: there may be more. */
  filled = false;
  #fresh: Buffer | undefined;
  /** Bytes of an unfinished header, right before the place that is read into. */
  #carried = 0;
  /** The same, if it is longer or has no such place. */
  #long: Buffer | null = null;

  constructor(world: World, take: Take) {
    this.#world = world;
    this.#take = take;
  }

  attach(socket: Socket, kind: LaneKind): void {
    if (kind === 'own') {
      socket.on('data', (chunk: Buffer) => this.#onChunk(chunk));
      return;
    }
    socket.pause();
    this.#size = kind === 'bulk' ? BULK_INPUT_BYTES : LANE_INPUT_BYTES;
    this.#buffer = this.#newBuffer();
    readInto(
      socket,
      this.#buffer.subarray(LANE_CARRY_BYTES),
      (length) => this.#onRead(length),
      () => this.#next(),
    );
    socket.resume();
  }

  /** From the next read on it takes as much as a bulk lane does. */
  widen(): void {
    this.#size = BULK_INPUT_BYTES;
  }

  #onRead(length: number): void {
    const buffer = this.#buffer;
    if (buffer === null) return;
    this.filled = length === buffer.length - LANE_CARRY_BYTES;
    if (this.#long !== null) {
      return this.#onChunk(buffer.subarray(LANE_CARRY_BYTES, LANE_CARRY_BYTES + length));
    }
    const end = LANE_CARRY_BYTES + length;
    this.#world.retained = false;
    const at = this.#take(buffer, LANE_CARRY_BYTES - this.#carried, end);
    const left = end - at;
    this.#carried = 0;
    let next = buffer;
    if (this.#world.retained || buffer.length < LANE_CARRY_BYTES + this.#size) {
      next = this.#newBuffer();
      this.#buffer = next;
      this.#fresh = next.subarray(LANE_CARRY_BYTES);
    }
    if (left === 0) return;
    if (left > LANE_CARRY_BYTES) this.#long = Buffer.from(buffer.subarray(at, end));
    else {
      buffer.copy(next, LANE_CARRY_BYTES - left, at, end);
      this.#carried = left;
    }
  }

  #onChunk(received: Buffer): void {
    const chunk = this.#long === null ? received : Buffer.concat([this.#long, received]);
    const at = this.#take(chunk, 0, chunk.length);
    this.#long = at < chunk.length ? Buffer.from(chunk.subarray(at)) : null;
  }

  #newBuffer(): Buffer {
    return Buffer.allocUnsafeSlow(LANE_CARRY_BYTES + this.#size);
  }

  #next(): Buffer | undefined {
    const fresh = this.#fresh;
    this.#fresh = undefined;
    return fresh;
  }
}
