import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { FILES } from '../config.ts';
import { systemCode } from '../errors.ts';
import { LOG_TAIL_BYTES } from '../limits.ts';

/** The last lines of the engine's own log: why it did not start, or how it died. */
export async function engineLogTail(dataDir: string): Promise<string> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(join(dataDir, FILES.log), 'r');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return '';
    throw error;
  }
  try {
    const { size } = await handle.stat();
    const start = Math.max(0, size - LOG_TAIL_BYTES);
    const { buffer, bytesRead } = await handle.read(
      Buffer.alloc(LOG_TAIL_BYTES),
      0,
      LOG_TAIL_BYTES,
      start,
    );
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}
