/** What must hold after every step, and what must not grow over many. */
import { readdirSync } from 'node:fs';
import type { OurService } from '../benches/our-service.ts';
import { inspectProcess, requireRef, until } from '../processes.ts';

/** A cache with a dead primary, no control process and a full sync ahead has this long to be whole. */
const HEAL_DEADLINE_MS = 60_000;
/** Growth that is no leak: caches of the runtime fill up in the first minutes. */
const ALLOWED_RSS_GROWTH = 1.6;
const ALLOWED_FD_GROWTH = 40;

/** Waits until every cache is whole: each shard served, each replica in sync. */
export async function healed(service: OurService, caches: readonly string[]): Promise<void> {
  let state = '';
  await until(
    'all caches are whole',
    async () => {
      const problems = await Promise.all(caches.map((cache) => problemOf(service, cache)));
      state = problems.filter((problem) => problem !== null).join('; ');
      return state === '';
    },
    HEAL_DEADLINE_MS,
  ).catch((error: Error) => {
    throw new Error(`${error.message}: ${state}`);
  });
}

/** Waits until the endpoint has its workers, each with its sockets: one may have been killed just now. */
export async function endpointWhole(service: OurService): Promise<void> {
  await until(
    'the endpoint is whole',
    async () => {
      const { workers } = (await service.api.status()).endpoint;
      return workers.length > 0 && workers.every(({ state }) => state === 'serving');
    },
    HEAL_DEADLINE_MS,
  );
}

async function problemOf(service: OurService, cache: string): Promise<string | null> {
  const shards = await service.api.shards(cache);
  if (shards.length === 0) return `${cache} has no shards`;
  for (const { shard, instances } of shards) {
    const primaries = instances.filter((each) => each.role === 'primary');
    const conditions = instances.map((each) => `${each.role} ${each.condition}`).join(', ');
    const where = `${cache}/${shard.index}`;
    const gone = instances.find(
      ({ instance }) =>
        instance.process === null || inspectProcess(instance.process).state === 'gone',
    );
    // The records may not have heard of a death of this very moment.
    if (gone !== undefined) return `${where}: ${gone.role} is dead`;
    if (shard.phase !== 'serving') return `${where} is ${shard.phase}: ${shard.reason.message}`;
    if (primaries.length !== 1) return `${where} has ${primaries.length} primaries (${conditions})`;
    if (primaries[0]?.instance.id !== shard.primary)
      return `${where}: another primary than recorded`;
    if (!instances.some((each) => each.role === 'replica' && each.condition === 'in-sync')) {
      return `${where} has no replica in sync (${conditions})`;
    }
  }
  return null;
}

export interface Footprint {
  readonly controlRssMb: number;
  readonly controlFiles: number;
  readonly endpointRssMb: number;
  readonly processes: number;
  readonly engines: number;
  readonly ports: number;
  readonly sockets: number;
}

export async function footprint(service: OurService): Promise<Footprint> {
  const MB = 1024 * 1024;
  const processes = service.processes();
  const endpoint = processes.filter(({ command }) => /packages\/endpoint\//.test(command));
  const rss = (pid: number): number => inspectProcess(requireRef(pid)).rssBytes / MB;
  return {
    controlRssMb: Math.round(inspectProcess(service.control).rssBytes / MB),
    controlFiles: readdirSync(`/proc/${service.control.pid}/fd`).length,
    endpointRssMb: Math.round(endpoint.reduce((sum, { pid }) => sum + rss(pid), 0)),
    processes: processes.length,
    engines: service.engines().length,
    ports: (await service.listening()).length,
    sockets: readdirSync(service.runDir).length,
  };
}

/** What grew that should not; both taken when all caches were whole. */
export function leaks(before: Footprint, after: Footprint): string[] {
  const found: string[] = [];
  for (const name of ['processes', 'engines', 'ports', 'sockets'] as const) {
    if (after[name] > before[name]) found.push(`${name}: ${before[name]} -> ${after[name]}`);
  }
  if (after.controlFiles > before.controlFiles + ALLOWED_FD_GROWTH) {
    found.push(`open files of control: ${before.controlFiles} -> ${after.controlFiles}`);
  }
  for (const name of ['controlRssMb', 'endpointRssMb'] as const) {
    if (after[name] > before[name] * ALLOWED_RSS_GROWTH) {
      found.push(`${name}: ${before[name]} -> ${after[name]}`);
    }
  }
  return found;
}
