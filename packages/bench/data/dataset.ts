/**
 * The standard data set: what "so many GB of mixed types" means everywhere in this project. Seeded,
 * of any size, and the same bytes on every machine and at every time: even its expiry times are
 * fixed instants, far away.
 *
 * Of the keys 40 % are strings of 100 B to 1 KB, 20 % hashes, 10 % each sorted sets, lists, sets and
 * streams with consumer groups; 30 % have a TTL; one in 10,000 holds 1 to 10 MB. About half of the
 * bytes compress well. One key in 50 is binary, CR LF and zero bytes among it.
 */
import { Random } from './random.ts';

export type Argument = string | Buffer | number;
export type Command = readonly Argument[];

export interface DatasetSize {
  readonly seed: number;
  /** Stops after this many keys, or when the payload reached so many bytes. */
  readonly keys?: number;
  readonly bytes?: number;
}

export interface DatasetKey {
  readonly key: Buffer;
  readonly type: KeyType;
  /** All for this key, in order; they make it from nothing. */
  readonly commands: readonly Command[];
  /** Bytes of values, without keys and protocol. */
  readonly payload: number;
  readonly large: boolean;
  readonly expires: boolean;
}

export type KeyType = 'string' | 'hash' | 'zset' | 'list' | 'set' | 'stream';

const SHARES: readonly (readonly [type: KeyType, upTo: number])[] = [
  ['string', 0.4],
  ['hash', 0.6],
  ['zset', 0.7],
  ['list', 0.8],
  ['set', 0.9],
  ['stream', 1],
];
const WITH_TTL = 0.3;
const ONE_LARGE_IN = 10_000;
const ONE_BINARY_IN = 50;
const MB = 1024 * 1024;
/** 2040 and 2050: no test of today sees one of them expire. */
const EXPIRES_FROM = Date.UTC(2040, 0, 1);
const EXPIRES_TO = Date.UTC(2050, 0, 1);
const WORDS = 'cache shard replica primary slot epoch lease stream hold fence drain offset'.split(
  ' ',
);

export function* dataset(size: DatasetSize): Generator<DatasetKey> {
  let payload = 0;
  for (let i = 0; ; i += 1) {
    if (size.keys !== undefined && i >= size.keys) return;
    if (size.bytes !== undefined && payload >= size.bytes) return;
    // A stream of its own for each key: one more value in one key changes no other key.
    const made = makeKey(i, new Random(size.seed, i));
    payload += made.payload;
    yield made;
  }
}

function makeKey(index: number, random: Random): DatasetKey {
  const draw = random.unit();
  const type = SHARES.find(([, upTo]) => draw < upTo)?.[0] ?? 'string';
  // By position and not by chance: a small set has its large value as surely as a big one.
  const large = index % ONE_LARGE_IN === ONE_LARGE_IN - 1;
  const key = keyName(index, type, random);
  const maker = new Maker(key, random);
  maker.fill(type, large ? random.between(1 * MB, 10 * MB) : null);
  const expires = random.unit() < WITH_TTL;
  if (expires) {
    const at = EXPIRES_FROM + random.below(EXPIRES_TO - EXPIRES_FROM);
    maker.commands.push(['PEXPIREAT', key, at]);
  }
  return { key, type, commands: maker.commands, payload: maker.payload, large, expires };
}

function keyName(index: number, type: KeyType, random: Random): Buffer {
  const number = String(index);
  if (index % ONE_BINARY_IN !== ONE_BINARY_IN - 1) return Buffer.from(`data:${type}:${number}`);
  return Buffer.concat([random.bytes(8), Buffer.from(`\r\n\0${number}\xff`, 'latin1')]);
}

/** Collects the commands and the payload of one key. */
class Maker {
  readonly commands: Command[] = [];
  payload = 0;
  private readonly key: Buffer;
  private readonly random: Random;

  constructor(key: Buffer, random: Random) {
    this.key = key;
    this.random = random;
  }

  /** `bytes`: for a large key; elements are then larger, not endlessly many. */
  fill(type: KeyType, bytes: number | null): void {
    const { random } = this;
    if (type === 'string') {
      this.commands.push(['SET', this.key, this.value(bytes ?? random.between(100, 1024))]);
      return;
    }
    const count = bytes === null ? random.between(2, 24) : Math.ceil(bytes / 4096);
    const size = (): number => (bytes === null ? random.between(8, 120) : 4096);
    const element = (i: number): Buffer =>
      // Numbered, so that members of sets and fields of hashes are distinct.
      Buffer.concat([Buffer.from(`${i}:`), this.value(size())]);
    switch (type) {
      case 'hash':
        this.chunks('HSET', count, (i) => [`field:${i}`, this.value(size())]);
        return;
      case 'zset':
        this.chunks('ZADD', count, (i) => [this.score(), element(i)]);
        return;
      case 'list':
        this.chunks('RPUSH', count, (i) => [element(i)]);
        return;
      case 'set':
        this.chunks('SADD', count, (i) => [element(i)]);
        return;
      case 'stream':
        this.stream(count, size);
        return;
    }
  }

  /** A few elements a command: neither one huge request nor one a round trip. */
  private chunks(verb: string, count: number, element: (i: number) => Argument[]): void {
    const aCommand = 128;
    for (let from = 0; from < count; from += aCommand) {
      const parts: Argument[] = [];
      for (let i = from; i < Math.min(count, from + aCommand); i += 1) parts.push(...element(i));
      this.commands.push([verb, this.key, ...parts]);
    }
  }

  private stream(count: number, size: () => number): void {
    for (let i = 1; i <= count; i += 1) {
      this.commands.push(['XADD', this.key, `${i * 10}-${i % 3}`, 'f', this.value(size())]);
    }
    this.commands.push(['XGROUP', 'CREATE', this.key, 'workers', '0']);
    this.commands.push(['XGROUP', 'CREATE', this.key, 'audit', '$']);
    const read = Math.min(count, this.random.between(1, 8));
    this.commands.push(
      ['XREADGROUP', 'GROUP', 'workers', 'alice', 'COUNT', read, 'STREAMS', this.key, '>'],
      ['XACK', this.key, 'workers', '10-1'],
    );
  }

  private score(): number {
    const { random } = this;
    const draw = random.below(20);
    if (draw === 0) return random.between(-1e9, 1e9);
    return draw < 10 ? random.between(0, 1000) : random.unit() * 1e6 - 5e5;
  }

  /** Every second value is text that compresses well, the others are noise. */
  private value(size: number): Buffer {
    this.payload += size;
    if (this.random.below(2) === 0) return this.random.bytes(size);
    const text = Buffer.alloc(size);
    let at = 0;
    while (at < size) at += text.write(`${this.random.pick(WORDS)} `, at, 'latin1');
    return text;
  }
}
