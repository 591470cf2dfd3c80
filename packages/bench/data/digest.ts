/**
 * A digest of all data by value: equal on two servers exactly if the data are, whatever the engines,
 * their versions, encodings, and the order in which keys come.
 *
 * Each key's name, type, value and expiry make one SHA-256 over a length-prefixed form (so that no
 * two different values have one form); all of them are added up modulo 2^256, which does not care
 * about order. Left out is what is no value: when a stream's consumer was seen, how long an entry
 * has been pending. The data must not change meanwhile.
 */
import { createHash, type Hash } from 'node:crypto';
import { LOG_PAGE } from '../limits.ts';
import type { Asker, Target } from '../load/asker.ts';
import { type Reply, ServerError } from '../load/decode.ts';
import { clusterAskers, oneAsker } from './load.ts';

export interface Digest {
  /** 64 hexadecimal digits. */
  readonly value: string;
  readonly keys: number;
}

const MODULUS = 1n << 256n;
const SCAN_COUNT = 500;

export async function digestOf(
  target: Target,
  options: { readonly cluster?: boolean } = {},
): Promise<Digest> {
  const askers = options.cluster === true ? await clusterAskers(target) : await oneAsker(target);
  try {
    let total = 0n;
    // SCAN may name a key twice.
    const seen = new Set<string>();
    for (const asker of askers.all) {
      for await (const keys of pages(asker)) {
        const fresh = keys.filter((key) => !seen.has(key.toString('latin1')));
        for (const key of fresh) seen.add(key.toString('latin1'));
        const parts = await Promise.all(fresh.map((key) => keyDigest(asker, key)));
        for (const part of parts) total = (total + part) % MODULUS;
      }
    }
    return { value: total.toString(16).padStart(64, '0'), keys: seen.size };
  } finally {
    askers.close();
  }
}

async function* pages(asker: Asker): AsyncGenerator<Buffer[]> {
  let cursor = '0';
  do {
    const reply = await asker.ask('SCAN', cursor, 'COUNT', SCAN_COUNT);
    const [next, keys] = listOf(reply);
    cursor = textOf(next);
    yield [...new Set(listOf(keys).map((key) => bytesOf(key).toString('latin1')))].map((key) =>
      Buffer.from(key, 'latin1'),
    );
  } while (cursor !== '0');
}

async function keyDigest(asker: Asker, key: Buffer): Promise<bigint> {
  const [type, expires] = await Promise.all([
    asker.ask('TYPE', key),
    asker.ask('PEXPIRETIME', key),
  ]);
  const form = new Form();
  form.put(key);
  form.put(textOf(type));
  form.put(textOf(expires));
  switch (textOf(type)) {
    case 'string':
      form.put(bytesOf(await asker.ask('GET', key)));
      break;
    case 'hash':
      await putHash(form, asker, key);
      break;
    case 'set':
      form.putSorted(listOf(await asker.ask('SMEMBERS', key)).map((m) => [bytesOf(m)]));
      break;
    case 'zset':
      await putSortedSet(form, asker, key);
      break;
    case 'list':
      await putList(form, asker, key);
      break;
    case 'stream':
      await putStream(form, asker, key);
      break;
    case 'none':
      throw new Error(`key ${JSON.stringify(key.toString('latin1'))} went away: the data changes`);
    default:
      throw new Error(`a key of type ${textOf(type)}, which has no form by value here`);
  }
  return form.number();
}

async function putHash(form: Form, asker: Asker, key: Buffer): Promise<void> {
  const fields = pairs(listOf(await asker.ask('HGETALL', key)));
  form.putSorted(fields.map(([field, value]) => [bytesOf(field), bytesOf(value)]));
  const names = fields.map(([field]) => bytesOf(field)).sort(Buffer.compare);
  // Expiring fields are newer than many engines; one that does not know them has none.
  const times = await asker
    .ask('HPEXPIRETIME', key, 'FIELDS', names.length, ...names)
    .catch((error: unknown) => {
      if (error instanceof ServerError) return [];
      throw error;
    });
  const expiring = listOf(times).map(textOf);
  names.forEach((name, i) => {
    const at = expiring[i] ?? '-1';
    if (at !== '-1') {
      form.put(name);
      form.put(at);
    }
  });
}

async function putSortedSet(form: Form, asker: Asker, key: Buffer): Promise<void> {
  const members = pairs(listOf(await asker.ask('ZRANGE', key, 0, -1, 'WITHSCORES')));
  form.putSorted(
    members.map(([member, score]) => {
      // Engines print the same number in different ways; the number itself is the value.
      const bits = Buffer.alloc(8);
      bits.writeDoubleBE(numberOf(textOf(score)));
      return [bytesOf(member), bits];
    }),
  );
}

async function putList(form: Form, asker: Asker, key: Buffer): Promise<void> {
  for (let from = 0; ; from += LOG_PAGE) {
    const page = listOf(await asker.ask('LRANGE', key, from, from + LOG_PAGE - 1));
    for (const element of page) form.put(bytesOf(element));
    if (page.length < LOG_PAGE) return;
  }
}

async function putStream(form: Form, asker: Asker, key: Buffer): Promise<void> {
  for (const entry of listOf(await asker.ask('XRANGE', key, '-', '+'))) {
    const [id, fields] = listOf(entry);
    form.put(bytesOf(id));
    for (const part of listOf(fields)) form.put(bytesOf(part));
  }
  const about = record(await asker.ask('XINFO', 'STREAM', key));
  for (const name of ['last-generated-id', 'max-deleted-entry-id', 'entries-added']) {
    form.put(textOf(about.get(name)));
  }
  const groups = listOf(await asker.ask('XINFO', 'GROUPS', key)).map(record);
  for (const group of groups) {
    const name = bytesOf(group.get('name'));
    form.put(name);
    form.put(textOf(group.get('last-delivered-id')));
    const consumers = listOf(await asker.ask('XINFO', 'CONSUMERS', key, name)).map(record);
    form.putSorted(consumers.map((consumer) => [bytesOf(consumer.get('name'))]));
    const pending = Number(textOf(group.get('pending')));
    const entries = await asker.ask('XPENDING', key, name, '-', '+', Math.max(1, pending));
    for (const entry of listOf(entries)) {
      const [id, consumer, , deliveries] = listOf(entry);
      for (const part of [id, consumer, deliveries]) form.put(textOf(part));
    }
  }
}

/** The length-prefixed form of one key. */
class Form {
  private readonly hash: Hash = createHash('sha256');

  put(part: Buffer | string): void {
    const bytes = typeof part === 'string' ? Buffer.from(part, 'latin1') : part;
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(bytes.length));
    this.hash.update(length).update(bytes);
  }

  putSorted(rows: readonly (readonly Buffer[])[]): void {
    const sorted = [...rows].sort((a, b) => Buffer.compare(a[0] ?? EMPTY, b[0] ?? EMPTY));
    this.put(String(sorted.length));
    for (const row of sorted) for (const part of row) this.put(part);
  }

  number(): bigint {
    return BigInt(`0x${this.hash.digest('hex')}`);
  }
}

const EMPTY = Buffer.alloc(0);

function listOf(reply: Reply | undefined): Reply[] {
  if (Array.isArray(reply)) return reply;
  throw new Error(`an array was expected, not ${String(reply)}`);
}

function bytesOf(reply: Reply | undefined): Buffer {
  return Buffer.isBuffer(reply) ? reply : Buffer.from(textOf(reply), 'latin1');
}

function textOf(reply: Reply | undefined): string {
  return Buffer.isBuffer(reply) ? reply.toString('latin1') : String(reply ?? '');
}

function numberOf(text: string): number {
  return text === 'inf' ? Infinity : text === '-inf' ? -Infinity : Number(text);
}

function pairs(flat: readonly Reply[]): [Reply, Reply][] {
  const out: [Reply, Reply][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) out.push([flat[i] ?? null, flat[i + 1] ?? null]);
  return out;
}

function record(reply: Reply): Map<string, Reply> {
  return new Map(pairs(listOf(reply)).map(([name, value]) => [textOf(name), value]));
}
