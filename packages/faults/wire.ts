/**
 * Faults on the real port of a server, for those who may change the machine's network (root, or
 * inside of `unshare --net`): packets are dropped by nftables, connections ended by `ss --kill`. Whoever
 * may not puts a proxy in the path instead (`network.ts`).
 *
 * Dropped packets are sent again by TCP: a cut that ends loses nothing, it is only late.
 */
import { randomBytes } from 'node:crypto';
import type { Program } from '../engine/index.ts';
import { FaultError } from './errors.ts';
import type { Fault, Faults } from './faults.ts';
import type { Direction } from './network.ts';
import { run } from './processes.ts';

const NFT: Program = { file: 'nft', argsBefore: [] };

/** `up`: what clients send to this port does not arrive; `down`: what it sends does not leave. */
export function cutPort(
  faults: Faults,
  port: number,
  direction: Direction,
  ms: number,
  nft: Program = NFT,
): Promise<Fault> {
  const table = `cinnabar_fault_${randomBytes(4).toString('hex')}`;
  const [hook, field] = direction === 'up' ? ['input', 'dport'] : ['output', 'sport'];
  const rules = `table inet ${table} {
    chain cut {
      type filter hook ${hook} priority 0
      tcp ${field} ${port} drop
    }
  }
`;
  const remove = { command: nft.file, args: [...nft.argsBefore, 'delete', 'table', 'inet', table] };
  return faults.set(`cut ${direction} of port ${port}`, ms, [{ kind: 'run', ...remove }], () =>
    run(nft.file, [...nft.argsBefore, '-f', '-'], { input: rules }).catch((error: Error) => {
      throw needs('nft', 'nftables', error);
    }),
  );
}

/** Ends every connection of this port with RST, on both sides. */
export async function resetPort(port: number): Promise<void> {
  await run('ss', [
    '--kill',
    '--tcp',
    '--no-header',
    `( sport = :${port} or dport = :${port} )`,
  ]).catch((error: Error) => {
    throw needs('ss', 'iproute2', error);
  });
}

function needs(program: string, name: string, error: Error): FaultError {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
    return new FaultError(
      `needs-${program}`,
      `there is no ${program} on the path: install ${name}`,
    );
  }
  return /not permitted/i.test(error.message)
    ? new FaultError('needs-net-admin', `${program} may not change the network of this machine`)
    : new FaultError(`${program}-failed`, error.message);
}
