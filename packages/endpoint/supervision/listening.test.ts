import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import test from 'node:test';
import { claim, Listening } from './listening.ts';

function listen(options: {
  host: string;
  reusePort: boolean;
}): Promise<{ server: Server; port: number }> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen({ port: 0, ...options }, () => {
      const address = server.address();
      if (address === null || typeof address === 'string') throw new Error('no port');
      resolve({ server, port: address.port });
    });
  });
}

test('a stranger on the port is seen and named, also one that allows sharing', async () => {
  for (const reusePort of [false, true]) {
    const { server, port } = await listen({ host: '127.0.0.1', reusePort });
    const reason = claim({ host: '127.0.0.1', port });
    assert.match(
      reason ?? 'free',
      new RegExp(`port-taken: port ${port} is held by process ${process.pid} \\(`),
    );
    const everywhere = claim({ host: '0.0.0.0', port });
    assert.match(everywhere ?? 'free', /port-taken/);
    await new Promise((resolve) => server.close(resolve));
    assert.equal(claim({ host: '127.0.0.1', port }), null);
  }
});

test('addresses that cannot be are named', () => {
  assert.match(claim({ host: 'localhost', port: 1 }) ?? '', /^not-an-address/);
  assert.match(claim({ host: '192.0.2.1', port: 4000 }) ?? '', /^no-such-address/);
});

test('each worker has a socket of its own at the same address, and keeps it', async () => {
  const { server, port } = await listen({ host: '127.0.0.1', reusePort: false });
  await new Promise((resolve) => server.close(resolve));
  const listening = new Listening();
  const address = { host: '127.0.0.1', port };
  assert.deepEqual(listening.reconcile(new Map([['a', address]]), 2), []);
  const first = listening.handle('a', 0);
  const second = listening.handle('a', 1);
  assert.ok(first !== null && second !== null && first !== second);
  assert.deepEqual(listening.reconcile(new Map([['a', address]]), 3), []);
  assert.equal(listening.handle('a', 0), first);
  assert.ok(listening.handle('a', 2) !== null);
  listening.reconcile(new Map([['a', address]]), 1);
  assert.equal(listening.handle('a', 2), null);
  listening.reconcile(new Map(), 1);
  assert.equal(listening.handle('a', 0), null);
  assert.equal(claim(address), null, 'the port is free again');
});
