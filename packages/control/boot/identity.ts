/** Who we are: build, and what this installation was given at its first start. */
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Store } from '../store/index.ts';

/** From package.json, two or more folders up: sources and the compiled package differ in depth. */
export function buildVersion(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'bin', 'cinnabar'))) {
    const parent = dirname(folder);
    if (parent === folder) return 'unknown';
    folder = parent;
  }
  const parsed: unknown = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return String((parsed as { version?: unknown }).version ?? 'unknown');
}

/** Azure's scope: one subscription, made once. */
export function subscriptionOf(store: Store): string {
  const known = store.meta('subscription');
  if (known !== null) return known;
  const made = randomUUID();
  store.write(() => {
    store.setMeta('subscription', made);
    store.putGroup({
      name: 'default',
      location: 'local',
      tags: {},
      state: 'Succeeded',
      createdAt: Date.now(),
    });
  });
  return made;
}
