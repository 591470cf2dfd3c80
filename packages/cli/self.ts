/** Where this program's own files are, from source (.ts) and from the compiled package (.js) alike. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(import.meta.url);
const extension = path.extname(here);

/** A module of ours as a file to start a process with; `name` is relative to `packages/`. */
export function moduleFile(name: string): string {
  return path.join(path.dirname(here), '..', name + extension);
}

/** The folder that holds package.json: two up from source, three from `dist`. */
export function packageRoot(): string {
  let folder = path.dirname(here);
  while (!existsSync(path.join(folder, 'bin', 'cinnabar'))) {
    const parent = path.dirname(folder);
    if (parent === folder) throw new Error(`No bin/cinnabar above ${here}: broken installation.`);
    folder = parent;
  }
  return folder;
}

export function version(): string {
  const text = readFileSync(path.join(packageRoot(), 'package.json'), 'utf8');
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed === 'object' && parsed !== null && 'version' in parsed) {
    return String(parsed.version);
  }
  throw new Error('package.json has no version: broken installation.');
}

/** The commit in a checkout; `release` in an installed package. */
export function build(): string {
  const root = packageRoot();
  if (!existsSync(path.join(root, '.git'))) return 'release';
  try {
    const commit = execFileSync('git', ['-C', root, 'rev-parse', '--short', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return commit.trim();
  } catch {
    // No git on this machine: the version says enough.
    return 'checkout';
  }
}

/** The number, not the name: in a container the user may have no entry in /etc/passwd. */
export function userId(): number {
  return process.getuid?.() ?? 0;
}
