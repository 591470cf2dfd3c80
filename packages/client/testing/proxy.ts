/**
 * A TCP proxy with faults, for tests and measurements: a link of limited bandwidth that its
 * connections share fairly (pieces in turn, as TCP flows do), that can stall, cut, and count.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';

export interface FaultProxy {
  readonly port: number;
  /** Bytes a second from the server to clients, all connections together; 0: no limit. */
  limit(bytesPerSecond: number): void;
  /** Nothing passes, in either direction, until `resume`. Connections stay open. */
  stall(): void;
  resume(): void;
  /** Requests pass and replies do not, until `resume`. */
  mute(): void;
  /** Bytes that clients sent on the connections that are open. */
  readonly asked: number;
  /** Bytes that clients sent in all. */
  readonly passed: number;
  /** Ends all connections at once. */
  cut(): void;
  /** The connection that brings the n-th byte from now ends at it: what came before has passed, and nothing after it. */
  cutAt(bytes: number, from: 'client' | 'server'): void;
  /** New connections are refused. */
  refuse(on: boolean): void;
  readonly opened: number;
  readonly open: number;
  readonly peak: number;
  stop(): Promise<void>;
}

const PIECE = 4_096;
const TICK_MS = 5;

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  waiting: Buffer[];
  asked: number;
}

export async function startProxy(target: number): Promise<FaultProxy> {
  const pairs = new Set<Pair>();
  let rate = 0;
  let stalled = false;
  let muted = false;
  let refusing = false;
  let opened = 0;
  let peak = 0;
  let passed = 0;
  let credit = 0;

  const cuts = { client: Number.POSITIVE_INFINITY, server: Number.POSITIVE_INFINITY };
  /** Of what has come: what passes before the cut. */
  const before = (chunk: Buffer, from: 'client' | 'server'): Buffer => {
    cuts[from] -= chunk.length;
    if (cuts[from] >= 0) return chunk;
    const kept = chunk.subarray(0, chunk.length + cuts[from]);
    cuts[from] = Number.POSITIVE_INFINITY;
    return kept;
  };

  const server: Server = createServer((client) => {
    if (refusing) {
      client.destroy();
      return;
    }
    const upstream = connect(target, '127.0.0.1');
    const pair: Pair = { client, server: upstream, waiting: [], asked: 0 };
    pairs.add(pair);
    opened += 1;
    peak = Math.max(peak, pairs.size);
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    if (stalled) pause(pair);
    if (muted) upstream.pause();
    client.on('data', (all: Buffer) => {
      const chunk = before(all, 'client');
      pair.asked += chunk.length;
      passed += chunk.length;
      upstream.write(chunk);
      if (chunk !== all) end();
    });
    upstream.on('data', (all: Buffer) => {
      const chunk = before(all, 'server');
      if (chunk !== all) {
        upstream.pause();
        client.write(chunk, end);
        return;
      }
      if (rate === 0 && pair.waiting.length === 0) {
        client.write(chunk);
        return;
      }
      pair.waiting.push(chunk);
      upstream.pause();
    });
    const end = (): void => {
      pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      socket.on('error', end);
      socket.on('close', end);
    }
  });

  /** Hands out the tick's bytes, a piece to each connection in turn. */
  let last = performance.now();
  const pump = setInterval(() => {
    const now = performance.now();
    // Late ticks hand out what the earlier ones did not, up to a tenth of a second's worth.
    credit =
      rate === 0
        ? Number.POSITIVE_INFINITY
        : Math.min(credit, rate / 20) + (rate * Math.min(now - last, 100)) / 1_000;
    last = now;
    if (stalled) return;
    let moved = true;
    while (credit >= PIECE && moved) {
      moved = false;
      for (const pair of pairs) {
        const first = pair.waiting.shift();
        if (first === undefined) continue;
        moved = true;
        pair.client.write(first.subarray(0, PIECE));
        credit -= Math.min(PIECE, first.length);
        if (first.length > PIECE) pair.waiting.unshift(first.subarray(PIECE));
        else if (pair.waiting.length === 0) pair.server.resume();
        if (credit < PIECE) break;
      }
    }
  }, TICK_MS);

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');

  return {
    port: address.port,
    limit: (bytesPerSecond) => {
      rate = bytesPerSecond;
    },
    stall: () => {
      stalled = true;
      for (const pair of pairs) pause(pair);
    },
    mute: () => {
      muted = true;
      for (const pair of pairs) pair.server.pause();
    },
    get asked() {
      return [...pairs].reduce((sum, pair) => sum + pair.asked, 0);
    },
    resume: () => {
      stalled = false;
      muted = false;
      for (const pair of pairs) {
        pair.client.resume();
        pair.server.resume();
      }
    },
    cut: () => {
      for (const pair of [...pairs]) {
        pair.client.destroy();
        pair.server.destroy();
      }
    },
    refuse: (on) => {
      refusing = on;
    },
    cutAt: (bytes, from) => {
      cuts[from] = bytes;
    },
    get passed() {
      return passed;
    },
    get opened() {
      return opened;
    },
    get open() {
      return pairs.size;
    },
    get peak() {
      return peak;
    },
    stop: async () => {
      clearInterval(pump);
      for (const pair of pairs) pair.client.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function pause(pair: Pair): void {
  pair.client.pause();
  pair.server.pause();
}
