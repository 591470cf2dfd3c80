/**
 * Ports of the management API: what was asked for, else what was recorded, else at the first start
 * the default or the next free one. A recorded port that a stranger took is an error with its name,
 * never a silent move: scripts and configurations hold the address.
 */
import { createServer } from 'node:net';
import { portError, type RunningApi } from '../api/index.ts';
import type { StartOptions } from '../boot-protocol.ts';
import { kernelPorts } from '../resources/index.ts';
import type { Store } from '../store/index.ts';
import { API_PORT, API_PORTS_TRIED } from './limits.ts';

export interface ApiPorts {
  readonly http: number;
  readonly https: number;
  /** Why it is not the usual one; null: it is, or was named. */
  readonly moved: string | null;
  /** Remembers what was bound, also when it was asked for; "any free one" (0) is for this time only. */
  record(api: RunningApi): void;
}

export async function apiPorts(
  store: Store,
  options: StartOptions,
  hosts: readonly string[],
): Promise<ApiPorts> {
  const fixed = (name: string, asked: number | undefined) => {
    const port = asked ?? Number(store.meta(name) ?? 0);
    return port === 0 && asked === undefined ? null : port;
  };
  const host = hosts[0] ?? '127.0.0.1';
  const named = await usable(host, fixed('api-http', options.apiPort));
  const http = named ?? (await firstFree(host, []));
  const https =
    (await usable(host, fixed('api-https', options.httpsPort))) ?? (await firstFree(host, [http]));
  return {
    http,
    https,
    moved:
      named === null && http !== API_PORT
        ? `${API_PORT} is taken: ${kernelPorts.describe(API_PORT)}`
        : null,
    record: (api) =>
      store.write(() => {
        if (options.apiPort !== 0) store.setMeta('api-http', portOf(api.http));
        if (options.httpsPort !== 0) store.setMeta('api-https', portOf(api.https));
      }),
  };
}

function portOf(url: string | null): string {
  return url === null ? '' : new URL(url).port;
}

/** Looked at before anything is started: a start that will fail should fail first. */
async function usable(host: string, port: number | null): Promise<number | null> {
  if (port === null || port === 0) return port;
  const error = await listenError(host, port);
  if (error === null) return port;
  throw portError(error, host, port);
}

async function firstFree(host: string, taken: readonly number[]): Promise<number> {
  for (let port = API_PORT; port < API_PORT + API_PORTS_TRIED; port++) {
    if (!taken.includes(port) && (await listenError(host, port)) === null) return port;
  }
  return API_PORT; // the listener will say who is in the way
}

/** Null: nothing is in the way. */
function listenError(host: string, port: number): Promise<Error | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  });
}
