/** The certificate that the endpoint serves for a cache: seen by anybody with the token, its key by nobody. */
import { ControlError } from '../errors.ts';
import { type Answer, ok } from './answer.ts';
import { type Call, databaseOf } from './call.ts';
import type { CertificateView } from './context.ts';
import type { Method, Route } from './router.ts';
import { DATABASE_PATH } from './routes-databases.ts';

const PATH = `${DATABASE_PATH}/certificate`;

export const CERTIFICATE_ROUTES: readonly Route[] = [
  route('GET', async (call) => ok(view(await call.context.certificates.show(clusterOf(call))))),
  route('PUT', put),
  route('DELETE', async (call) => {
    const cluster = clusterOf(call);
    return ok(view(await call.context.certificates.use(cluster, null, call.actor.name)));
  }),
];

function route(method: Method, handle: Route['handle']): Route {
  return { method, path: PATH, kind: 'extension', handle };
}

/** A database without TLS serves no certificate. */
function clusterOf(call: Call) {
  const { cluster, database } = databaseOf(call);
  if (database.settings.clientProtocol === 'Encrypted') return cluster;
  throw new ControlError(
    'NoServedCertificate',
    409,
    `The database of '${cluster.name}' serves no certificate: its clientProtocol is Plaintext.`,
  );
}

async function put(call: Call): Promise<Answer> {
  const cluster = clusterOf(call);
  const { certPem, keyPem } = call.bodies.small.certificate(call);
  if (certPem === undefined || keyPem === undefined) {
    throw new ControlError(
      'InvalidRequestContent',
      400,
      "'certPem' and 'keyPem' are both required: the certificate with its issuers after it, and its private key, each in PEM form.",
      certPem === undefined ? 'certPem' : 'keyPem',
    );
  }
  const pair = { certPem, keyPem };
  return ok(view(await call.context.certificates.use(cluster, pair, call.actor.name)));
}

function view(certificate: CertificateView): unknown {
  const { notBefore, expiresAt, ...rest } = certificate;
  return {
    ...rest,
    notBefore: new Date(notBefore).toISOString(),
    expiresAt: new Date(expiresAt).toISOString(),
  };
}
