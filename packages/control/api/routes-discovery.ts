/**
 * What a client asks before it has a token: the cloud's endpoints, and a token server for service
 * principals. The tenant is whatever the client was told; the client secret is the API token.
 */
import { TOKEN_FILE } from '../boot-protocol.ts';
import type { Answer } from './answer.ts';
import { ok } from './answer.ts';
import { type Call, param } from './call.ts';
import { guidFrom } from './identity.ts';
import { TOKEN_LIFETIME_S } from './limits.ts';
import type { Route } from './router.ts';

export const DISCOVERY_ROUTES: readonly Route[] = [
  open('/metadata/endpoints', metadata),
  open('/common/discovery/instance', (call) =>
    ok({
      tenant_discovery_endpoint: `${tenantUrl(call, 'common')}/v2.0/.well-known/openid-configuration`,
      metadata: [],
    }),
  ),
  open('/:tenant/v2.0/.well-known/openid-configuration', openid),
  open('/:tenant/.well-known/openid-configuration', openid),
  // MSAL for an ADFS authority asks with the tenant `adfs` below the path `adfs`.
  open('/:tenant/adfs/.well-known/openid-configuration', openid),
  open('/:tenant/adfs/v2.0/.well-known/openid-configuration', openid),
  // Tokens are signed with a secret of this server: there is no key to publish.
  open('/:tenant/discovery/v2.0/keys', () => ok({ keys: [] })),
  { method: 'POST', path: '/:tenant/oauth2/v2.0/token', kind: 'open', form: true, handle: token },
  { method: 'POST', path: '/:tenant/oauth2/token', kind: 'open', form: true, handle: token },
];

function open(path: string, handle: (call: Call) => Answer): Route {
  return { method: 'GET', path, kind: 'open', handle };
}

function tenantUrl(call: Call, tenant: string): string {
  return `${call.base}/${encodeURIComponent(tenant)}`;
}

function openid(call: Call): Answer {
  const root = tenantUrl(call, param(call, 'tenant'));
  const oauth = param(call, 'tenant').toLowerCase() === 'adfs' ? 'oauth2' : 'oauth2/v2.0';
  return ok({
    issuer: `${root}/v2.0`,
    authorization_endpoint: `${root}/${oauth}/authorize`,
    token_endpoint: `${root}/${oauth}/token`,
    jwks_uri: `${root}/discovery/v2.0/keys`,
    token_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic'],
    response_types_supported: ['token'],
    subject_types_supported: ['pairwise'],
    id_token_signing_alg_values_supported: ['HS256'],
  });
}

/** The shapes that az (2.45 and later), azurerm and go-azure-sdk ask for, by api-version. */
function metadata(call: Call): Answer {
  const version = call.query.get('api-version') ?? '';
  const cloud = cloudDocument(call);
  if (version === '2018-01-01') {
    const endpoint = call.base.replace(/^https?:\/\//, '');
    return ok({ cloudEndpoint: { public: { endpoint, locations: ['local'] } } });
  }
  if (version === '2015-01-01' || version === '1.0') {
    const { authentication, gallery, graph, portal } = cloud;
    return ok({
      galleryEndpoint: gallery,
      graphEndpoint: graph,
      portalEndpoint: portal,
      authentication,
    });
  }
  return ok(version === '2019-05-01' ? [cloud] : cloud);
}

function cloudDocument(call: Call) {
  const host = call.base.replace(/^https?:\/\//, '').replace(/:\d+$/, '');
  return {
    name: 'Cinnabar',
    portal: call.base,
    gallery: call.base,
    graph: call.base,
    graphAudience: call.base,
    // No trailing slash: clients append '/<tenant>'.
    authentication: {
      loginEndpoint: call.base,
      audiences: [call.base, `${call.base}/`],
      tenant: 'common',
      identityProvider: 'AAD',
    },
    resourceManager: call.base,
    microsoftGraphResourceId: call.base,
    media: call.base,
    batch: call.base,
    sqlManagement: call.base,
    vmImageAliasDoc: call.base,
    activeDirectoryDataLake: call.base,
    suffixes: { storage: host, keyVaultDns: host, sqlServerHostname: host, acrLoginServer: host },
  };
}

function token(call: Call): Answer {
  const { form, context } = call;
  const basic = basicCredentials(call.headers['authorization']);
  const clientId = form.get('client_id') ?? basic?.id ?? '';
  const secret = form.get('client_secret') ?? basic?.secret ?? '';
  if (form.get('grant_type') !== 'client_credentials') {
    return refused(call, 400, 'unsupported_grant_type', {
      code: 70003,
      text: "Only the grant type 'client_credentials' is offered: log in as a service principal whose secret is the API token.",
    });
  }
  if (clientId === '' || clientId.length > 200) {
    return refused(call, 400, 'invalid_request', {
      code: 900144,
      text: "The request body must contain the parameter 'client_id'. Any name will do; it is recorded with what is done.",
    });
  }
  if (!context.identity.isSecret(secret)) {
    return refused(call, 401, 'invalid_client', {
      code: 7000215,
      text: `Invalid client secret provided for app '${clientId}': it is the content of the file ${TOKEN_FILE} in the data folder.`,
    });
  }
  const tenant = param(call, 'tenant');
  return {
    status: 200,
    headers: { 'cache-control': 'no-store' },
    body: {
      token_type: 'Bearer',
      expires_in: TOKEN_LIFETIME_S,
      ext_expires_in: TOKEN_LIFETIME_S,
      access_token: context.identity.issue({
        clientId,
        tenant,
        audience: audienceOf(form, call.base),
        issuer: `${tenantUrl(call, tenant)}/v2.0`,
      }),
    },
  };
}

/** 'https://h:p//.default' (a resource with a trailing slash) is for 'https://h:p/'. */
function audienceOf(form: ReadonlyMap<string, string>, base: string): string {
  const scope = form.get('scope')?.split(' ')[0];
  if (scope === undefined || scope === '') return form.get('resource') ?? base;
  return scope.replace(/\/\.default$/, '');
}

function basicCredentials(header: string | undefined): { id: string; secret: string } | null {
  const encoded = /^Basic +([A-Za-z0-9+/=]+) *$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return null;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon === -1) return null;
  try {
    return {
      id: decodeURIComponent(text.slice(0, colon)),
      secret: decodeURIComponent(text.slice(colon + 1)),
    };
  } catch {
    return null; // not form-encoded as RFC 6749 asks: treated as no credentials
  }
}

function refused(
  call: Call,
  status: number,
  error: string,
  detail: { readonly code: number; readonly text: string },
): Answer {
  return {
    status,
    headers: { 'cache-control': 'no-store' },
    body: {
      error,
      error_description: `AADSTS${detail.code}: ${detail.text}`,
      error_codes: [detail.code],
      timestamp: new Date(call.context.now()).toISOString(),
      trace_id: guidFrom(`${call.requestId} trace`),
      correlation_id: call.requestId,
    },
  };
}
