/**
 * Clients that are closed at any moment, while connections are being made and calls of every kind are under way: each
 * call ends, with an error of the kit if with one, and no connection stays, so that the process may end.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { batch, chunked, KitError, lanes } from '../index.ts';
import {
  type AnyClient,
  clusterKinds,
  type Kind,
  olderKinds,
  plainKinds,
} from '../testing/clients.ts';
import {
  ask,
  startCluster,
  startServer,
  type TestCluster,
  type TestServer,
} from '../testing/server.ts';
import { until } from '../testing/until.ts';

const ROUNDS = 16;
/** Closed gracefully, a client waits for its BLPOP of one second. */
const END_MS = 10_000;
/** Servers that are asked while connections begin and end. */
const TURNS = [0, 1, 2, 3, 5, 8, 12, 20, 35, 60];

let server: TestServer;
let cluster: TestCluster;
before(async () => {
  [server, cluster] = await Promise.all([startServer(), startCluster(3)]);
});
after(async () => {
  await Promise.all([server?.stop(), cluster?.stop()]);
});

type Client = AnyClient & object;

const CALLS: readonly ((kind: Kind, redis: Client) => Promise<unknown>)[] = [
  (_, redis) => redis.get('closed'),
  (_, redis) => redis.incr('closed:n'),
  (_, redis) => redis.set('closed:large', Buffer.alloc(300_000, 'x')),
  (_, redis) => redis.get('closed:large'),
  (kind, redis) => kind.call(redis, 'BLPOP', 'closed:none', '1'),
  (kind, redis) => kind.call(redis, 'EVAL', 'return 1', '1', 'closed'),
  (kind, redis) => kind.pipeline(redis, [['set', 'closed', 'v']]),
  (kind, redis) => kind.multi(redis, [['set', 'closed', 'v']]),
  (kind, redis) => kind.subscribe(redis, 'closed', () => {}),
  (_, redis) => chunked(redis).set('closed:chunked', Buffer.alloc(200_000, 'y')),
  (_, redis) => batch(redis, [['SET', 'closed', 'v']]),
];

interface Outcome {
  settled: boolean;
  error?: unknown;
}

/** All kinds of calls at once, in another order each time. */
function askAll(kind: Kind, redis: Client, round: number): Outcome[] {
  return CALLS.map((_, i) => {
    const outcome: Outcome = { settled: false };
    const call = CALLS[(i + round) % CALLS.length] as (typeof CALLS)[number];
    call(kind, redis)
      .catch((error: unknown) => {
        outcome.error = error;
      })
      .finally(() => {
        outcome.settled = true;
      });
    return outcome;
  });
}

function end(kind: Kind, redis: Client, gracefully: boolean): Promise<unknown> {
  if (gracefully) return kind.close(redis);
  (redis as unknown as { disconnect(): unknown }).disconnect();
  return Promise.resolve();
}

async function alone(port: number): Promise<boolean> {
  return /connected_clients:1\r/.test(await ask(port, 'INFO', 'clients'));
}

for (const kind of [...plainKinds, ...olderKinds, ...clusterKinds]) {
  const portsOf = (): readonly number[] =>
    kind.name.includes('cluster') ? cluster.ports : [server.port];
  describe(kind.name, () => {
    test('closed at any moment every call ends, and no connection stays', async () => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const redis = lanes(() => kind.make(portsOf()), { small: { min: 1 + (round % 3) } });
        const connected = kind.connect(redis).catch((error: unknown) => error);
        if (round % 4 === 3) await connected;
        const outcomes = askAll(kind, redis, round);
        for (let i = 0; i < (TURNS[round % TURNS.length] as number); i += 1) await turn();
        await end(kind, redis, round % 2 === 0);
        const said = await connected;
        if (said instanceof Error) assert.equal((said as KitError).code, 'ERR_CLIENT_CLOSED');
        await until(() => outcomes.every(({ settled }) => settled), END_MS);
        for (const { error } of outcomes) {
          // What the cluster client of redis says of a subscription before it is connected is its own affair.
          if (error === undefined || /client is offline/.test(String(error))) continue;
          assert.ok(error instanceof KitError, `round ${round}: ${String(error)}`);
        }
        for (const port of portsOf()) await until(() => alone(port), END_MS);
      }
    });

    test('closed while the server says nothing, it waits for nothing', async () => {
      const mute = createServer();
      const sockets = new Set<Socket>();
      mute.on('connection', (socket) => {
        sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => sockets.delete(socket));
        socket.resume();
      });
      mute.listen(0, '127.0.0.1');
      await once(mute, 'listening');
      const { port } = mute.address() as AddressInfo;
      for (const gracefully of [true, false]) {
        const redis = lanes(() => kind.make([port]), { small: { min: 2 } });
        const connected = kind.connect(redis).catch((error: unknown) => error);
        const outcomes = askAll(kind, redis, 0);
        await until(() => sockets.size > 0);
        await end(kind, redis, gracefully);
        await connected;
        await until(() => outcomes.every(({ settled }) => settled) && sockets.size === 0, END_MS);
      }
      mute.close();
    });
  });
}
