/** Which public port a new database gets. Pure: claims, listeners and the wish come in. */
import { ControlError } from '../errors.ts';
import type { PortClaim } from '../store/records.ts';
import { AUTOMATIC_PORTS, HIGHEST_PORT, LOWEST_PORT } from './limits.ts';

export interface PortSituation {
  readonly claims: readonly PortClaim[];
  readonly listening: ReadonlySet<number>;
  readonly firstPort: number;
  /** Who listens on a port; asked only for the message of a refusal. */
  describe(port: number): string;
  /** For people: 'cache1', from the owner of a claim. */
  ownerName(owner: string): string;
}

export function decidePort(wanted: number | null, situation: PortSituation): number {
  const claimed = new Map(situation.claims.map((claim) => [claim.port, claim]));
  const isFree = (port: number) => !claimed.has(port) && !situation.listening.has(port);
  const firstFree = (): number | null => {
    const end = Math.min(situation.firstPort + AUTOMATIC_PORTS, HIGHEST_PORT + 1);
    for (let port = situation.firstPort; port < end; port++) if (isFree(port)) return port;
    return null;
  };

  if (wanted === null) {
    const port = firstFree();
    if (port !== null) return port;
    throw new ControlError(
      'PortInUse',
      409,
      `No port is free from ${situation.firstPort} up: name one in properties.port.`,
      'properties.port',
    );
  }
  if (!Number.isInteger(wanted) || wanted < LOWEST_PORT || wanted > HIGHEST_PORT) {
    throw new ControlError(
      'InvalidParameter',
      400,
      `properties.port ${wanted} is not a port that a database can have: ${LOWEST_PORT} to ${HIGHEST_PORT}.`,
      'properties.port',
    );
  }
  if (isFree(wanted)) return wanted;
  const claim = claimed.get(wanted);
  const by =
    claim === undefined
      ? `${situation.describe(wanted)} listens there`
      : `it belongs to ${situation.ownerName(claim.owner)} (${claim.purpose})`;
  const free = firstFree();
  throw new ControlError(
    'PortInUse',
    409,
    `Port ${wanted} is taken: ${by}. ${free === null ? 'Name another one' : `Port ${free} is free`}, or leave the port out and a free one is chosen.`,
    'properties.port',
  );
}
