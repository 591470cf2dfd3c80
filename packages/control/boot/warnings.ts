/** What `status` warns of, of the whole installation. */
import { formatBytes, type Miniature } from '../catalog/miniature.ts';
import { mostConnections } from '../databases/open-files.ts';

/** A SKU's connections that the system has no room for, said where it applies. */
export function fewerConnections(wanted: readonly number[]): string[] {
  const most = mostConnections();
  const largest = Math.max(0, ...wanted);
  if (largest <= most) return [];
  return [
    `This system lets an engine have ${most} connections, and a cache here has a SKU with ${largest}: it serves as many as there can be. Raise the limit of open files (ulimit -Hn) and start again.`,
  ];
}

/** Of all caches that are made from now on. */
export function inMiniature(miniature: Miniature | null): string[] {
  if (miniature === null) return [];
  const { memoryFactor, maxShards } = miniature;
  const parts = [
    ...(memoryFactor < 1 ? [`their memory divided by ${Math.round(10 / memoryFactor) / 10}`] : []),
    ...(maxShards === null ? [] : [`at most ${maxShards} ${maxShards === 1 ? 'shard' : 'shards'}`]),
  ];
  return [
    `SKUs are in miniature: ${parts.join(', ')}. In full size from the next start on: cinnabar up --miniature off`,
  ];
}

/** A stop that would be refused is better known before. */
export function noRoomToSave(folder: string, neededBytes: number, freeBytes: number): string[] {
  if (freeBytes >= neededBytes) return [];
  return [
    `The disk of ${folder} has ${formatBytes(freeBytes)} free, and an orderly stop may have to write ${formatBytes(neededBytes)}: it would be refused. Free some space.`,
  ];
}

export function openToOthers(listen: readonly string[]): string {
  return `Caches are reachable on ${listen.join(', ')} by TLS with an access key; the API there by HTTPS with the token. Databases with clientProtocol Plaintext are readable on the way.`;
}
