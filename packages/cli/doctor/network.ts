/** Ports and the API. */
import { createServer } from 'node:net';
import type { ControlFile } from '../../control/boot-protocol.ts';
import type { ApiClient } from '../api/client.ts';
import { PROBE_TIMEOUT_MS } from '../limits.ts';
import { version } from '../self.ts';
import type { Finding } from './check.ts';
import { fail, ok, warn } from './check.ts';

const FIRST_PORT = 10_000;

/** Free means: can be bound on both loopback addresses (where there is IPv6 at all). */
export async function portIsFree(port: number): Promise<boolean> {
  for (const host of ['127.0.0.1', '::1']) {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT');
    });
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
    if (!(await promise)) return false;
  }
  return true;
}

export async function firstPort(running: boolean): Promise<Finding> {
  if (running) return ok('port', 'Ports', 'taken by this Cinnabar as recorded: cinnabar list');
  return (await portIsFree(FIRST_PORT))
    ? ok('port', 'Ports', `${FIRST_PORT} is free`)
    : warn(
        'port',
        'Ports',
        `${FIRST_PORT} is taken by another program, so the first cache gets a higher one`,
        `Who it is: ss -ltnp 'sport = :${FIRST_PORT}'`,
      );
}

export function apiUnderWay(): Finding {
  return ok('api', 'Management API', 'a start or stop is under way: cinnabar status');
}

export async function apiFinding(
  control: ControlFile | null,
  api: () => ApiClient,
): Promise<Finding> {
  if (control === null)
    return ok('api', 'Management API', 'Cinnabar does not run now: cinnabar up');
  const timer = Promise.withResolvers<never>();
  const late = setTimeout(() => timer.reject(new Error('no answer in time')), PROBE_TIMEOUT_MS);
  try {
    const status = await Promise.race([api().status(), timer.promise]);
    return status.version === version()
      ? ok('api', 'Management API', `answers at ${control.http ?? control.https}`)
      : warn(
          'api',
          'Management API',
          `${status.version} runs, this command is ${version()}`,
          'Restart it; caches go on meanwhile: cinnabar down && cinnabar up',
        );
  } catch (error) {
    return fail(
      'api',
      'Management API',
      error instanceof Error ? error.message : String(error),
      'See why: cinnabar logs. Start again: cinnabar down && cinnabar up',
    );
  } finally {
    clearTimeout(late);
  }
}
