/**
 * Engines write their logs for as long as they run, which is months: a line for each slot of each
 * scaling, three for each replica that connects. Each writes to a descriptor that we opened for it in
 * append mode. So at its bound the file is copied to `.1` and emptied in place, whoever started the
 * engine: the next line lands at the beginning. Lines between the copy and the cut are lost.
 */
import { copyFile, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { FILES } from './config.ts';
import { systemCode } from './errors.ts';
import { ENGINE_LOG_BYTES, ENGINE_LOG_CHECK_MS } from './limits.ts';

/** One engine's log; one that is not there is within every bound. */
export async function boundLog(dataDir: string, most: number = ENGINE_LOG_BYTES): Promise<void> {
  const file = join(dataDir, FILES.log);
  try {
    if ((await stat(file)).size <= most) return;
    await copyFile(file, `${file}.1`).catch(async (error: unknown) => {
      // Just then the room counts for more than the lines.
      if (systemCode(error) !== 'ENOSPC') throw error;
      await rm(`${file}.1`, { force: true });
    });
    await truncate(file);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}

/** Looks after the logs of these data folders until it is stopped. */
export function boundLogs(
  dataDirs: () => readonly string[],
  failed: (error: unknown) => void,
): { stop(): void } {
  const look = async () => {
    for (const dataDir of dataDirs()) await boundLog(dataDir).catch(failed);
  };
  const timer = setInterval(() => void look(), ENGINE_LOG_CHECK_MS).unref();
  return { stop: () => clearInterval(timer) };
}
