/** Clients of one kind behind a proxy that breaks what passes it; the proxy and they end with the suite. */
import { after, before } from 'node:test';
import { lanes } from '../index.ts';
import type { AnyClient, Kind } from './clients.ts';
import { type FaultProxy, startProxy } from './proxy.ts';

export interface Faulty {
  /** Known once the suite has begun. */
  readonly proxy: FaultProxy;
  /** In lanes, connected, and answered once. */
  open(options?: Parameters<typeof lanes>[1]): Promise<AnyClient & object>;
}

/** Called in a suite; `port`: of the server behind the proxy, asked for when the suite begins. */
export function faulty(kind: Kind, port: () => number): Faulty {
  let proxy: FaultProxy | undefined;
  const clients: object[] = [];
  before(async () => {
    proxy = await startProxy(port());
  });
  after(async () => {
    proxy?.limit(0);
    proxy?.resume();
    for (const client of clients) await kind.close(client);
    await proxy?.stop();
  });
  const started = (): FaultProxy => {
    if (proxy === undefined) throw new Error('the suite has not begun');
    return proxy;
  };
  return {
    get proxy() {
      return started();
    },
    open: async (options = {}) => {
      const { port: at } = started();
      const redis = lanes(() => kind.make([at]), options);
      clients.push(redis);
      await kind.connect(redis);
      await redis.get('warm');
      return redis;
    },
  };
}
