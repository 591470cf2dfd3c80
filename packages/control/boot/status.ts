import type { StartOptions } from '../boot-protocol.ts';
import { addNeeds, capacitySummary, needOf } from '../catalog/capacity.ts';
import type { SystemStatus } from '../service.ts';
import { LOOPBACK, type Parts } from './parts.ts';
import { fewerConnections, inMiniature, noRoomToSave, openToOthers } from './warnings.ts';

export interface About {
  readonly options: StartOptions;
  readonly version: string;
  readonly build: string;
  readonly startedAt: number;
  /** Of this start. */
  readonly warnings: readonly string[];
}

/** What `cinnabar status` shows. Pure, but for asking the parts. */
export function systemStatus(parts: Parts, about: About): SystemStatus {
  const { store, engine, authority, certificates, databases, fleet, room, api } = parts;
  const endpoint = fleet.status();
  const { listen, domain, home } = about.options;
  return {
    version: about.version,
    build: about.build,
    pid: process.pid,
    startedAt: about.startedAt,
    node: process.version,
    engine: {
      name: engine.build.name,
      version: engine.build.version,
      origin: engine.build.origin,
    },
    home,
    api: { http: api?.http ?? null, https: api?.https ?? null },
    caFile: authority.caFile,
    endpoint: { pid: endpoint.supervisor, workers: endpoint.workers },
    domain: domain ?? 'localhost',
    listen: [...LOOPBACK, ...listen],
    warnings: [
      ...about.warnings,
      ...(listen.length === 0 ? [] : [openToOthers(listen)]),
      ...inMiniature(parts.miniature),
      ...fewerConnections(store.databases().map((each) => each.sizing.maxConnections)),
      ...noRoomToSave(home, databases.dataBytes(), room().disk.availableBytes),
      ...certificates.problems.map((each) => each.message),
    ],
    capacity: capacitySummary(
      room(),
      addNeeds(store.databases().map((each) => needOf(each.sizing))),
    ),
  };
}
