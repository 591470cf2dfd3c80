/** Free ports for tests that run beside each other, in several processes. */
import { createServer } from 'node:net';

/** Below the range from which the kernel takes ports for outgoing connections. */
const LOWEST = 12_000;
const HIGHEST = 32_000;
const MAX_TRIES = 200;

const taken = new Set<number>();

/** Ports that could be bound on both loopback addresses just now, each given out once by this process. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let tries = 0; ports.length < count; tries++) {
    if (tries > MAX_TRIES)
      throw new Error(`no ${count} free ports between ${LOWEST} and ${HIGHEST}`);
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    if (taken.has(port)) continue;
    taken.add(port);
    if ((await canBind('127.0.0.1', port)) && (await canBind('::1', port))) ports.push(port);
  }
  return ports;
}

function canBind(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => {
      // A machine without IPv6 has no ::1 that could be taken.
      resolve('code' in error && error.code === 'EADDRNOTAVAIL');
    });
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
