/**
 * How far a fetch is. apt tells a terminal, and nobody else; but what it has fetched lies in folders of ours,
 * so their sizes are looked at while it runs.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FETCH_SO_FAR_MS } from '../limits.ts';

/** Calls `tell` with the bytes that have come into the folders since the beginning, until `work` is over. */
export async function tellingBytes<T>(
  folders: readonly string[],
  tell: (bytes: number) => void,
  work: () => Promise<T>,
): Promise<T> {
  const before = await bytesIn(folders);
  let last = 0;
  let over = false;
  const timer = setInterval(async () => {
    const now = Math.max(0, (await bytesIn(folders)) - before);
    // Of the last look only: a folder that was cleared meanwhile is no news.
    if (over || now <= last) return;
    last = now;
    tell(now);
  }, FETCH_SO_FAR_MS);
  try {
    return await work();
  } finally {
    over = true;
    clearInterval(timer);
  }
}

async function bytesIn(folders: readonly string[]): Promise<number> {
  let bytes = 0;
  for (const folder of folders) {
    const names = await readdir(folder, { recursive: true }).catch(() => []);
    for (const name of names) {
      // It may be renamed in this moment.
      const found = await stat(join(folder, name)).catch(() => null);
      if (found?.isFile() === true) bytes += found.size;
    }
  }
  return bytes;
}

/** '12.3 MB' */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
