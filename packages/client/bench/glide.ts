/**
 * @valkey/valkey-glide as a rival. Its native part is too heavy for every fresh clone, so the full
 * form fetches it, at an exact version, into the cache folder that the engines are in.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import type { BenchContext, Beside } from './index.ts';

const VERSION = '2.5.2';
const INSTALL_DEADLINE_MS = 120_000;

interface GlideClient {
  get(key: string, options?: { decoder: number }): Promise<{ readonly length: number } | null>;
  close(): void;
}

interface Glide {
  readonly Decoder: { readonly Bytes: number };
  readonly GlideClient: {
    createClient(options: {
      addresses: { host: string; port: number }[];
      requestTimeout: number;
    }): Promise<GlideClient>;
  };
}

const REQUEST_TIMEOUT_MS = 30_000;
let said = false;

export async function glideSide(
  port: number,
  two: boolean,
  context: BenchContext,
): Promise<Beside | undefined> {
  let glide: Glide;
  try {
    glide = (await import(pathToFileURL(await fetched(context)).href)) as Glide;
  } catch (error) {
    // Said once: a rival that was not run is not beaten.
    if (!said) context.say(`client: valkey-glide is not among the rivals: ${String(error)}`);
    said = true;
    return undefined;
  }
  const open = (): Promise<GlideClient> =>
    glide.GlideClient.createClient({
      addresses: [{ host: '127.0.0.1', port }],
      requestTimeout: REQUEST_TIMEOUT_MS,
    });
  const one = await open();
  const other = two ? await open() : one;
  return {
    small: () => one.get('small'),
    large: (i) => other.get(`large:${i}`, { decoder: glide.Decoder.Bytes }),
    close: () => {
      one.close();
      if (two) other.close();
    },
  };
}

/** The module's file, after fetching it where it is not there yet. */
async function fetched(context: BenchContext): Promise<string> {
  const { engineCacheDir } = await import('../../engine/index.ts');
  const home = path.join(path.dirname(engineCacheDir()), 'rivals', `valkey-glide-${VERSION}`);
  const file = path.join(home, 'node_modules/@valkey/valkey-glide/build-ts/index.js');
  if (existsSync(file)) return file;
  context.say(`client: fetching @valkey/valkey-glide ${VERSION}`);
  const making = `${home}.${process.pid}`;
  await mkdir(making, { recursive: true });
  try {
    const args = ['install', '--prefix', making, '--no-audit', '--no-fund', '--ignore-scripts'];
    await promisify(execFile)('npm', [...args, `@valkey/valkey-glide@${VERSION}`], {
      timeout: INSTALL_DEADLINE_MS,
    });
    await rename(making, home);
  } finally {
    await rm(making, { recursive: true, force: true });
  }
  return file;
}
