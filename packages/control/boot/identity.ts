/** Who we are: build, and what this installation was given at its first start. */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Store } from '../store/index.ts';

/** Two or more folders up: sources and the compiled package differ in depth. */
function packageFolder(): string | null {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'bin', 'cinnabar'))) {
    const parent = dirname(folder);
    if (parent === folder) return null;
    folder = parent;
  }
  return folder;
}

export function buildVersion(): string {
  const folder = packageFolder();
  if (folder === null) return 'unknown';
  const parsed: unknown = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return String((parsed as { version?: unknown }).version ?? 'unknown');
}

/** The commit in a checkout; `release` in an installed package. */
export function buildCommit(): string {
  const folder = packageFolder();
  if (folder === null || !existsSync(join(folder, '.git'))) return 'release';
  try {
    const commit = execFileSync('git', ['-C', folder, 'rev-parse', '--short', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return commit.trim();
  } catch {
    // No git on this machine: the version says enough.
    return 'checkout';
  }
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
