/** Certificates that users brought: nobody but they can renew them. */
import type { ControlFile } from '../../control/boot-protocol.ts';
import type { ApiClient } from '../api/client.ts';
import { plural } from '../output/text.ts';
import { type Finding, fail, ok } from './check.ts';

export async function ownCertificates(
  control: ControlFile | null,
  api: () => ApiClient,
): Promise<Finding> {
  const [id, title] = ['own-certificates', 'Own certificates'] as const;
  if (control === null) return ok(id, title, 'Cinnabar does not run now');
  try {
    const client = api();
    let own = 0;
    for (const { cluster, database } of await client.caches()) {
      if (database?.properties.clientProtocol !== 'Encrypted') continue;
      const certificate = await client.certificate(cluster.name);
      if (certificate.origin === 'own') own++;
      if (certificate.problem !== null) {
        return fail(
          id,
          title,
          `${cluster.name}: ${certificate.problem}`,
          `cinnabar certificate set ${cluster.name} --cert <file> --key <file>, or: cinnabar certificate reset ${cluster.name}`,
        );
      }
    }
    return ok(id, title, own === 0 ? 'none' : `${plural(own, 'cache', 'caches')} with one`);
  } catch (error) {
    return fail(
      id,
      title,
      error instanceof Error ? error.message : String(error),
      'See why: cinnabar logs',
    );
  }
}
