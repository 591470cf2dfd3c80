/** `cinnabar --version`: build, Node, and the engine that would be used. */
import { engineAtHand } from '../engines.ts';
import { foldersFrom } from '../folders.ts';
import { build, version } from '../self.ts';

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
