import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import type { StartOptions } from '../boot-protocol.ts';
import { openDatabase } from '../store/open.ts';
import { Store } from '../store/store.ts';
import { apiPorts } from './api-ports.ts';
import { API_PORT } from './limits.ts';

const NO_SECRETS = {
  seal: (_owner: string, text: string) => text,
  open: (_owner: string, text: string) => text,
};
const HOSTS = ['127.0.0.1'];

/** A port that nobody has at this moment. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

test('a port that was asked for once is the port of later starts; "any" is for one start', async () => {
  const store = new Store(openDatabase(':memory:'), NO_SECRETS, Date.now);
  const start = async (asked: Pick<StartOptions, 'apiPort' | 'httpsPort'>) => {
    const ports = await apiPorts(store, asked as StartOptions, HOSTS);
    const url = (scheme: string, port: number) => `${scheme}://127.0.0.1:${port}`;
    ports.record({
      http: url('http', ports.http || 1),
      https: url('https', ports.https || 2),
      reload: () => undefined,
      stop: async () => undefined,
    });
    return [ports.http, ports.https];
  };
  const [named, other] = [await freePort(), await freePort()];
  assert.deepEqual(await start({ apiPort: named, httpsPort: other }), [named, other]);
  assert.deepEqual(await start({}), [named, other]);
  assert.deepEqual(await start({ apiPort: 0, httpsPort: 0 }), [0, 0]);
  assert.deepEqual(await start({}), [named, other]);

  const stranger = createServer();
  await new Promise<void>((resolve) => stranger.listen(named, '127.0.0.1', resolve));
  try {
    await assert.rejects(start({}), /port \d+: another process listens there/);
  } finally {
    stranger.close();
  }
});

test('at the first start another one is chosen where the usual port is taken, and that is said', async () => {
  const store = new Store(openDatabase(':memory:'), NO_SECRETS, Date.now);
  // Whoever has it: this, or a Cinnabar on this machine.
  const stranger = createServer();
  await new Promise<void>((resolve) => {
    stranger.once('error', () => resolve());
    stranger.listen(API_PORT, '127.0.0.1', resolve);
  });
  try {
    const { http, moved } = await apiPorts(store, {} as StartOptions, HOSTS);
    assert.notEqual(http, API_PORT);
    assert.match(moved ?? '', new RegExp(`^${API_PORT} is taken: (process \\d+|a process of)`));
    const any = await apiPorts(store, { apiPort: 0, httpsPort: 0 } as StartOptions, HOSTS);
    assert.equal(any.moved, null);
  } finally {
    stranger.close();
  }
});
