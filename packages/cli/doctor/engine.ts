import { engineAtHand } from '../engines.ts';
import type { Finding } from './check.ts';
import { fail, ok, warn } from './check.ts';

const PREFERRED = 9;

/** Without the network: what the next start would use. */
export async function engineFinding(cacheDir: string): Promise<Finding> {
  try {
    const engine = await engineAtHand(cacheDir);
    if (engine === null) {
      return warn(
        'engine',
        'Engine',
        'none at hand; the first start fetches Valkey from Debian (about 9 MB)',
        'Fetch it now: cinnabar engine install',
      );
    }
    const { name, version, origin } = engine.build;
    const detail = `${name} ${version} (${origin})`;
    return name === 'valkey' && Number.parseInt(version, 10) >= PREFERRED
      ? ok('engine', 'Engine', detail)
      : warn(
          'engine',
          'Engine',
          `${detail}: older than Valkey ${PREFERRED}, so some features are off`,
          'Fetch the newest: cinnabar engine install --refresh',
        );
  } catch (error) {
    return fail(
      'engine',
      'Engine',
      error instanceof Error ? error.message : String(error),
      'Fetch it again: cinnabar engine install --refresh',
    );
  }
}
