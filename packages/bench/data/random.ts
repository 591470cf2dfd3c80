/** A small seeded generator (sfc32): the same seed gives the same data on every machine. */

export class Random {
  private a: number;
  private b: number;
  private c: number;
  private counter: number;

  constructor(seed: number, stream = 0) {
    this.a = seed | 0;
    this.b = (seed / 2 ** 32) | 0;
    this.c = stream | 0;
    this.counter = 1;
    // The first outputs of close seeds are alike; twelve rounds mix them, as its author advises.
    for (let i = 0; i < 12; i += 1) this.uint32();
  }

  uint32(): number {
    const t = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (this.c << 21) | (this.c >>> 11);
    this.c = (this.c + t) | 0;
    return t >>> 0;
  }

  /** 0 <= x < 1 */
  unit(): number {
    return this.uint32() / 2 ** 32;
  }

  /** An integer, 0 <= x < n. */
  below(n: number): number {
    return Math.floor(this.unit() * n);
  }

  /** An integer, low <= x <= high. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError('nothing to pick from');
    return item;
  }

  /** Exponentially distributed with the given mean: the gaps of a Poisson process. */
  exponential(mean: number): number {
    return -Math.log(1 - this.unit()) * mean;
  }

  bytes(length: number): Buffer {
    const out = Buffer.allocUnsafe(length);
    let i = 0;
    for (; i + 4 <= length; i += 4) out.writeUInt32LE(this.uint32(), i);
    for (; i < length; i += 1) out[i] = this.below(256);
    return out;
  }
}
