/** `cinnabar --version`: build, Node, and the engine that would be used. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { engineAtHand } from '../engines.ts';
import { foldersFrom } from '../folders.ts';
import { packageRoot, version } from '../self.ts';

export async function versionText(): Promise<string> {
  const engine = await engineAtHand(foldersFrom(process.env).engineCache);
  const {
    name,
    version: number,
    origin,
  } = engine?.build ?? {
    name: 'engine',
    version: 'none at hand',
    origin: 'cinnabar engine install',
  };
  return [
    `cinnabar ${version()} (build ${build()})`,
    `node ${process.versions.node}`,
    `${name} ${number} (${origin})`,
  ].join('\n');
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
