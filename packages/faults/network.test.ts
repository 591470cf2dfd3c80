import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { test } from 'node:test';
import { FaultyNetwork } from './network.ts';
import { until } from './processes.ts';

const LONG_MS = 60_000;

interface Echo {
  readonly server: Server;
  readonly port: number;
  readonly sockets: Socket[];
  received: number;
}

async function echoServer(): Promise<Echo> {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: false, noDelay: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      echo.received += data.length;
      socket.write(data);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const echo: Echo = { server, port: address.port, sockets, received: 0 };
  return echo;
}

class Client {
  readonly socket: Socket;
  text = '';
  end = '';
  private constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.socket.on('data', (data) => {
      this.text += data.toString('latin1');
    });
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.end = error.code ?? 'error';
    });
    this.socket.on('end', () => {
      this.end = 'FIN';
    });
  }

  static async open(port: number): Promise<Client> {
    const client = new Client(port);
    await new Promise<void>((resolve, reject) => {
      client.socket.once('connect', resolve);
      client.socket.once('error', reject);
    });
    return client;
  }

  async roundTrip(message: string): Promise<number> {
    const start = performance.now();
    const from = this.text.length;
    this.socket.write(message);
    await until(`echo of ${message.length} bytes`, () => this.text.length >= from + message.length);
    assert.ok(this.text.endsWith(message));
    return performance.now() - start;
  }
}

async function inPath(
  body: (network: FaultyNetwork, client: Client, echo: Echo) => Promise<void>,
): Promise<void> {
  const echo = await echoServer();
  const network = await FaultyNetwork.open({ port: echo.port });
  const client = await Client.open(network.port);
  try {
    await client.roundTrip('hello');
    await body(network, client, echo);
  } finally {
    client.socket.destroy();
    await network.close();
    for (const socket of echo.sockets) socket.destroy();
    await new Promise<void>((resolve) => echo.server.close(() => resolve()));
  }
}

for (const direction of ['up', 'down'] as const) {
  test(`delay ${direction}: each round trip is later while on, quick afterwards`, async () => {
    await inPath(async (network, client) => {
      const fault = network.slow(direction, { delayMs: 120 }, LONG_MS);
      const slow = await client.roundTrip('a');
      await fault.end();
      const quick = Math.min(await client.roundTrip('b'), await client.roundTrip('c'));
      assert.ok(slow >= 119, `${slow} ms`);
      assert.ok(quick < 60, `${quick} ms`);
    });
  });

  test(`cut ${direction}: nothing arrives while on, everything and in order afterwards`, async () => {
    await inPath(async (network, client, echo) => {
      const before = echo.received;
      const fault = network.cut(direction, 250);
      client.socket.write('first ');
      await new Promise((resolve) => client.socket.write('second', resolve));
      if (direction === 'down') await until('it arrived', () => echo.received === before + 12);
      const seen = client.text;
      await fault.ended;
      assert.equal(seen, 'hello');
      if (direction === 'up') assert.ok(echo.received >= before);
      await until('it came through', () => client.text === 'hellofirst second');
    });
  });
}

test('a rate limit is kept', async () => {
  await inPath(async (network, client) => {
    const fault = network.slow('down', { bytesPerSecond: 200_000 }, LONG_MS);
    const ms = await client.roundTrip('x'.repeat(100_000));
    await fault.end();
    // A tenth of a second's worth may go at once.
    assert.ok(ms > 350 && ms < 1_500, `${ms} ms for half a second of bytes`);
  });
});

test('reset: both ends get RST', async () => {
  await inPath(async (network, client) => {
    assert.equal(network.reset(), 1);
    await until('the client hears it', () => client.end === 'ECONNRESET');
    await until('the proxy forgot it', () => network.connections === 0);
    const next = await Client.open(network.port);
    await next.roundTrip('again');
    next.socket.destroy();
  });
});

test('half open: the client hears nothing, not even an end, until the fault is over', async () => {
  await inPath(async (network, client, echo) => {
    const fault = network.halfOpen('server', 300);
    await until('the server lost it', () => echo.sockets[0]?.destroyed === true);
    client.socket.write('anybody?');
    assert.equal(client.end, '');
    await fault.ended;
    await until('the client hears of it', () => client.end !== '');
    assert.equal(client.text, 'hello');
    assert.equal(client.end, 'ECONNRESET');
  });
});

test('new connections: reset, or accepted and never served; served again afterwards', async () => {
  await inPath(async (network, client, echo) => {
    const reset = network.refuse('reset', LONG_MS);
    // The reset may come before or after the connection counts as made.
    await Client.open(network.port).then(
      (refused) => until('it is reset', () => refused.end !== ''),
      (error: NodeJS.ErrnoException) => assert.equal(error.code, 'ECONNRESET'),
    );
    await reset.end();
    const mute = network.refuse('mute', LONG_MS);
    const silent = await Client.open(network.port);
    silent.socket.write('hello?');
    await client.roundTrip('others go on');
    assert.equal(silent.text, '');
    assert.equal(echo.sockets.length, 1);
    await mute.end();
    const served = await Client.open(network.port);
    await served.roundTrip('back');
    for (const each of [silent, served]) each.socket.destroy();
  });
});

test('an orderly end goes through, with what was sent before it', async () => {
  await inPath(async (network, client) => {
    const fault = network.slow('up', { delayMs: 100 }, LONG_MS);
    client.socket.end('last words');
    await until('the echo and then the end', () => client.end === 'FIN');
    assert.equal(client.text, 'hellolast words');
    await fault.end();
    await until('the proxy forgot it', () => network.connections === 0);
  });
});
