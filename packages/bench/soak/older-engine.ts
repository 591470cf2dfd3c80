/** A cache that was made on an older engine than the one in use, and what is done with it then. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { provisionEngine } from '../../engine/index.ts';
import type { MadeCache, OurService } from '../benches/our-service.ts';
import { healed } from './watch.ts';

/** Debian stable's Valkey, as a program that a user would name. */
export async function olderEngine(home: string): Promise<string> {
  const { server } = await provisionEngine({ product: 'valkey', suite: 'trixie' });
  const program = join(home, 'valkey-8');
  const words = [server.file, ...server.argsBefore].map((word) => `'${word}'`).join(' ');
  await writeFile(program, `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o700 });
  return program;
}

/** From now on the service uses this engine; null: the newest there is. What runs goes on with what it has. */
export async function runOn(service: OurService, engine: string | null): Promise<void> {
  service.engine = engine;
  await service.killControl();
  await service.start();
}

/** Null: there is no second engine here, and whoever asked has to do without; why is said. */
export async function olderCache(
  service: OurService,
  name: string,
  sku: string,
  say: (line: string) => void,
): Promise<MadeCache | null> {
  let engine: string;
  try {
    engine = await olderEngine(service.home);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    say(`LEFT OUT: upgrade and the way back, there is no older engine (${why})`);
    return null;
  }
  await runOn(service, engine);
  const { cache } = await service.create(name, { sku });
  await healed(service, [name]);
  await runOn(service, null);
  return cache;
}

/** Null: not on its way anywhere. */
export async function upgradePhase(service: OurService, name: string): Promise<string | null> {
  const rows = await service.api.maintenance();
  return rows.find((row) => row.cluster === name)?.upgrade?.phase ?? null;
}
