/**
 * Room for the store on a disk that is full to the last byte.
 *
 * A control process that starts needs a little room before it can do anything (the store's log, its
 * index), and one that runs needs some to record who takes over from a dead primary. On a full disk
 * neither has it, just when a stop was refused *because* the disk is full. So a few megabytes are held
 * by a file of their own, which is removed when they are needed, and made again when there is plenty.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, rmSync, statfsSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  RESERVE_BYTES,
  RESERVE_CHUNK_BYTES,
  RESERVE_EVERY_MS,
  RESERVE_SPARE_BYTES,
} from './limits.ts';

export const RESERVE_FILE = 'reserve';

export class Reserve {
  readonly #file: string;
  readonly #home: string;
  #timer: NodeJS.Timeout | null = null;
  #making: Promise<void> | null = null;

  constructor(home: string) {
    this.#home = home;
    this.#file = join(home, RESERVE_FILE);
  }

  /** Before a start: gives the room back if there is not as much beside it. */
  prepare(): void {
    if (free(this.#home) < RESERVE_BYTES) this.release();
  }

  /** True: there is some room now. */
  release(): boolean {
    if (!existsSync(this.#file)) return false;
    rmSync(this.#file, { force: true });
    return true;
  }

  /** Makes it, now and whenever it is gone and there is room again. */
  keep(): void {
    this.#timer ??= setInterval(() => this.#look(), RESERVE_EVERY_MS).unref();
    this.#look();
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#making;
  }

  #look(): void {
    if (existsSync(this.#file) || free(this.#home) < RESERVE_SPARE_BYTES) return;
    // Somebody was quicker to fill the disk: it is tried again.
    this.#making ??= make(this.#file)
      .catch(() => undefined)
      .finally(() => {
        this.#making = null;
      });
  }
}

/** Of random bytes, which no file system stores in less room. */
async function make(file: string): Promise<void> {
  const staged = `${file}.new`;
  const handle = await open(staged, 'w', 0o600);
  try {
    const chunk = randomBytes(RESERVE_CHUNK_BYTES);
    for (let at = 0; at < RESERVE_BYTES; at += chunk.length) await handle.write(chunk);
  } catch (error) {
    await rm(staged, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
  await rename(staged, file);
}

function free(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}
