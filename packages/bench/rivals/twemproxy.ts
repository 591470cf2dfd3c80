/** twemproxy (nutcracker) in front of one engine. It has no TLS. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { RunningProxy } from './haproxy.ts';
import { accepts, freePort, launch } from './launch.ts';
import type { Program } from './programs.ts';

export function twemproxyConfig(options: {
  port: number;
  engineSocket: string;
  password?: string;
}): string {
  return `# twemproxy as a rival. Every setting that is not its default has its reason here.
bench:
  listen: 127.0.0.1:${options.port}
  # The protocol; the default is memcached's.
  redis: true
  # One server: the distribution does not matter, the cheapest is chosen.
  hash: fnv1a_64
  distribution: modula
${
  options.password === undefined
    ? ''
    : `  # The engine's; clients of this port log in with it, too.
  redis_auth: ${options.password}
`
}  # Connected before the first request, so the first round is like the others.
  preconnect: true
  # One connection to the engine is its default and its documented advice: with more it no longer
  # keeps the order of one client's reads and writes.
  server_connections: 1
  # A benchmark that overloads it must see latency, not an ejected server.
  auto_eject_hosts: false
  servers:
    # The unix socket is the engine's fastest entrance, and the one our endpoint uses.
    - ${options.engineSocket}:1 engine
`;
}

export async function startTwemproxy(
  program: Program,
  options: { readonly dir: string; readonly engineSocket: string; readonly password?: string },
): Promise<RunningProxy> {
  const port = await freePort();
  const statsPort = await freePort();
  const file = path.join(options.dir, 'nutcracker.yml');
  await writeFile(file, twemproxyConfig({ ...options, port }));
  // Debian's build logs to a folder that only its service has.
  const log = ['-o', path.join(options.dir, 'nutcracker.log')];
  const args = ['-c', file, '-s', String(statsPort), ...log];
  const launched = await launch('twemproxy', program, args, () => accepts({ port }));
  return { ...launched, port, tlsPort: 0 };
}
