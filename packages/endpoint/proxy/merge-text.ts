/** Merging answers that are texts or entries: INFO, SLOWLOG, LATENCY HISTOGRAM. */
import { array, bulk, integer, payload, splitArray } from './raw-reply.ts';
import type { Session } from './session.ts';

/** Fields of INFO that are counts of one shard and mean something when added. */
const ADDED = new Set(
  `used_memory used_memory_rss used_memory_peak used_memory_dataset used_memory_lua
  used_memory_scripts maxmemory total_commands_processed total_connections_received
  instantaneous_ops_per_sec total_net_input_bytes total_net_output_bytes
  instantaneous_input_kbps instantaneous_output_kbps rejected_connections expired_keys
  evicted_keys keyspace_hits keyspace_misses blocked_clients tracking_clients
  total_error_replies total_reads_processed total_writes_processed used_cpu_sys used_cpu_user
  rdb_changes_since_last_save pubsub_channels pubsub_patterns`.split(/\s+/),
);

interface InfoLine {
  readonly name: string;
  value: string;
}

/**
 * INFO of all shards as one server's: counters added, identity of the endpoint put in. `clients`:
 * connections of the database, in all workers.
 */
export function mergeInfo(session: Session, replies: readonly Buffer[], clients: number): Buffer {
  const texts = replies.map((reply) => payload(reply).toString('latin1').split('\r\n'));
  const [first = []] = texts;
  const sums = new Map<string, number>();
  const keyspaces = new Map<string, Map<string, number>>();
  for (const lines of texts) {
    for (const line of lines) {
      const { name, value } = parse(line);
      if (ADDED.has(name)) sums.set(name, (sums.get(name) ?? 0) + Number(value));
      if (/^db\d+$/.test(name)) addKeyspace(keyspaces, name, value);
    }
  }
  const standalone = session.proxy.view.policy !== 'OSSCluster';
  const out: string[] = [];
  const seen = new Set<string>();
  const emit = (line: string): void => {
    const { name } = parse(line);
    seen.add(name);
    if (LISTENER.test(name)) return;
    if (OF_HOST.has(name)) out.push(`${name}:`);
    else if (name === 'tcp_port') out.push(`${name}:${session.client.socket.localPort ?? 0}`);
    else if (name === 'connected_clients') out.push(`${name}:${clients}`);
    else if (name === 'cluster_enabled' && standalone) out.push(`${name}:0`);
    else if ((name === 'redis_mode' || name === 'server_mode') && standalone) {
      out.push(`${name}:standalone`);
    } else if (REPLICA.test(name)) out.push(`${name}:${atOurs(session, parse(line).value)}`);
    else if (keyspaces.has(name)) out.push(`${name}:${keyspace(keyspaces.get(name))}`);
    else if (sums.has(name) && replies.length > 1) {
      const sum = sums.get(name) ?? 0;
      out.push(`${name}:${Number.isInteger(sum) ? sum : sum.toFixed(6)}`);
    } else out.push(line);
  };
  for (const line of first) emit(line);
  // A database that is empty on the first shard still stands in the keyspace.
  for (const name of keyspaces.keys()) {
    if (seen.has(name)) continue;
    const header = out.indexOf('# Keyspace');
    if (header >= 0) out.splice(header + 1, 0, `${name}:${keyspace(keyspaces.get(name))}`);
  }
  const text = Buffer.from(out.join('\r\n'), 'latin1');
  if (replies[0]?.[0] !== 61) return bulk(text);
  return Buffer.concat([Buffer.from(`=${text.length + 4}\r\ntxt:`), text, Buffer.from('\r\n')]);
}

const REPLICA = /^slave\d+$/;
/** Paths of the machine, which are no client's affair; an engine without a file says the same. */
const OF_HOST = new Set(['executable', 'config_file']);
/** Sockets and ports of an engine, where no client may come. */
const LISTENER = /^listener\d+$/;

/** Every copy is behind the address that the client came to; at the engine's own nobody can log in. */
function atOurs(session: Session, replica: string): string {
  const { localAddress = '', localPort = 0 } = session.client.socket;
  return replica.replace(/^ip=[^,]*,port=\d+/, `ip=${localAddress},port=${localPort}`);
}

function parse(line: string): InfoLine {
  const colon = line.indexOf(':');
  return colon < 0
    ? { name: line, value: '' }
    : { name: line.slice(0, colon), value: line.slice(colon + 1) };
}

function addKeyspace(
  keyspaces: Map<string, Map<string, number>>,
  name: string,
  value: string,
): void {
  let fields = keyspaces.get(name);
  if (fields === undefined) {
    fields = new Map();
    keyspaces.set(name, fields);
  }
  for (const field of value.split(',')) {
    const [key = '', number = '0'] = field.split('=');
    const sum = (fields.get(key) ?? 0) + Number(number);
    fields.set(key, key === 'avg_ttl' ? Math.max(fields.get(key) ?? 0, Number(number)) : sum);
  }
}

function keyspace(fields: ReadonlyMap<string, number> | undefined): string {
  return [...(fields ?? [])].map(([name, value]) => `${name}=${value}`).join(',');
}

/**
 * Entries of all shards, the newest first. `limit` -1: all. Whose command it was the engine cannot know,
 * to which a connection of the endpoint spoke; it writes `?:0` for an address that it does not know.
 */
export function mergeSlowlog(replies: readonly Buffer[], limit: number): Buffer {
  const entries = replies.flatMap((reply) => splitArray(reply));
  const timed = entries.map((entry) => ({ entry, at: integer(splitArray(entry)[1] ?? ZERO) }));
  timed.sort((a, b) => b.at - a.at);
  const kept = limit >= 0 ? timed.slice(0, limit) : timed;
  return array(kept.map(({ entry }) => withoutLane(entry)));
}

function withoutLane(entry: Buffer): Buffer {
  const [id, at, took, words, address] = splitArray(entry);
  if (!id || !at || !took || !words || !address) return entry;
  return array([id, at, took, words, bulk('?:0'), bulk('')]);
}

const ZERO = Buffer.from(':0\r\n');

/** LATENCY HISTOGRAM: per command, calls and buckets added up. */
export function mergeHistograms(replies: readonly Buffer[], protocol: 2 | 3): Buffer {
  const commands = new Map<string, { calls: number; buckets: Map<number, number> }>();
  for (const reply of replies) {
    const items = splitArray(reply);
    for (let i = 0; i + 1 < items.length; i += 2) {
      const name = payload(items[i] ?? ZERO).toString('latin1');
      const fields = splitArray(items[i + 1] ?? ZERO);
      const sum = commands.get(name) ?? { calls: 0, buckets: new Map<number, number>() };
      sum.calls += integer(fields[1] ?? ZERO);
      // The counts are cumulative: what falls into each bucket is added, and cumulated again below.
      const buckets = splitArray(fields[3] ?? ZERO);
      let before = 0;
      for (let j = 0; j + 1 < buckets.length; j += 2) {
        const edge = integer(buckets[j] ?? ZERO);
        const count = integer(buckets[j + 1] ?? ZERO);
        sum.buckets.set(edge, (sum.buckets.get(edge) ?? 0) + count - before);
        before = count;
      }
      commands.set(name, sum);
    }
  }
  const map = (pairs: readonly Buffer[]): Buffer =>
    Buffer.concat([
      Buffer.from(protocol === 3 ? `%${pairs.length / 2}\r\n` : `*${pairs.length}\r\n`),
      ...pairs,
    ]);
  const pairs: Buffer[] = [];
  for (const [name, { calls, buckets }] of commands) {
    const edges: Buffer[] = [];
    let total = 0;
    for (const [edge, count] of [...buckets].sort(([a], [b]) => a - b)) {
      total += count;
      edges.push(Buffer.from(`:${edge}\r\n:${total}\r\n`));
    }
    const inner = edges.flatMap((pair) => splitPair(pair));
    pairs.push(
      bulk(name),
      map([bulk('calls'), Buffer.from(`:${calls}\r\n`), bulk('histogram_usec'), map(inner)]),
    );
  }
  return map(pairs);
}

function splitPair(pair: Buffer): [Buffer, Buffer] {
  const middle = pair.indexOf(10) + 1;
  return [pair.subarray(0, middle), pair.subarray(middle)];
}
