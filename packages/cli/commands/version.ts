/** `cinnabar --version`: build, Node, and the engine that would be used. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { packageRoot, version } from '../self.ts';

export function versionText(): string {
  return `cinnabar ${version()} (${build()})\nnode ${process.version}`;
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
