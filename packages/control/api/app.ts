/**
 * From a request on the wire to a handler and back. Fastify reads bodies within bounds and runs the
 * life cycle; paths are ours (see router.ts), and so is every answer: whatever goes wrong, in a
 * handler, in a body, in the framework or in ourselves, the caller reads ARM's error document.
 */
import type { IncomingMessage } from 'node:http';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { ControlError } from '../errors.ts';
import { type Answer, errorBody } from './answer.ts';
import type { Bodies, Call } from './call.ts';
import { checkRequest } from './checks.ts';
import type { ApiContext } from './context.ts';
import { baseUrl, challenge, type RequestIds, requestIds, standardHeaders } from './headers.ts';
import { type Caller, Identity } from './identity.ts';
import { parseForm, parseJson } from './json.ts';
import {
  MAX_AUDIT_PATH,
  MAX_BODY_BYTES,
  MAX_FORM_BYTES,
  MAX_IGNORED_NAMES,
  RETRY_AFTER_S,
} from './limits.ts';
import { parseTarget, type Target } from './path.ts';
import { type Match, Router } from './router.ts';
import { ROUTES } from './routes.ts';

const WRITES: ReadonlySet<string> = new Set(['PUT', 'PATCH', 'POST']);

function noSchema(): never {
  throw new Error('no route has a schema of the framework');
}

/** The same module each time. */
export function loadBodies(): Promise<Bodies> {
  return import('./bodies.ts');
}

/** What is known of a request from its head on. */
interface Exchange {
  readonly ids: RequestIds;
  readonly target: Target | null;
  readonly match: Match;
  readonly base: string;
  readonly path: string;
  caller: Caller | null;
  /** Code of the error that is answered, for the audit record. */
  code: string | null;
  /** The framework of ARM refused it, not the provider. */
  gateway: boolean;
}

export function buildApp(context: ApiContext): FastifyInstance {
  const router = new Router(ROUTES);
  const identity = new Identity(context.token, context.service.subscriptionId, context.now);
  const exchanges = new WeakMap<IncomingMessage, Exchange>();
  const app = fastify({
    logger: false,
    bodyLimit: MAX_BODY_BYTES,
    // Every path is one route here; the original URL is kept by Fastify.
    rewriteUrl: () => '/',
    return503OnClosing: false,
    // Bodies are read by `fields.ts`: without these, two compilers of schemas are loaded for nothing.
    schemaController: { compilersFactory: { buildValidator: noSchema, buildSerializer: noSchema } },
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

  const exchangeOf = (request: FastifyRequest): Exchange => {
    const known = exchanges.get(request.raw);
    if (known !== undefined) return known;
    const fresh = openExchange(request, router);
    exchanges.set(request.raw, fresh);
    return fresh;
  };

  app.addHook('onRequest', async (request, reply) => {
    const exchange = exchangeOf(request);
    reply.headers(standardHeaders(exchange.ids, request.headers, context.now()));
    // Before the body: a stranger's body is not read.
    if (exchange.match.found?.kind !== 'open') {
      exchange.caller = identity.authenticate(request.headers.authorization);
    }
  });

  const handle = async (request: FastifyRequest, reply: FastifyReply) => {
    const exchange = exchangeOf(request);
    const answer = await dispatch(request, exchange, context, identity);
    return write(request, reply, answer);
  };
  app.all('/', handle);
  app.setNotFoundHandler(handle);

  app.setErrorHandler((error, request, reply) => {
    const exchange = exchangeOf(request);
    const refusal = asControlError(error, exchange, context);
    exchange.code = refusal.code;
    reply.header('x-ms-failure-cause', exchange.gateway ? 'gateway' : 'service');
    if (refusal.status === 401) {
      const { base } = exchange;
      reply.header(
        'www-authenticate',
        challenge(base, identity.tenantId, refusal.code, refusal.message),
      );
    }
    // What is left of a refused body is not waited for.
    if (refusal.status === 401 || refusal.status === 413) reply.header('connection', 'close');
    if (refusal.status === 405 && exchange.match.found === null) {
      reply.header('allow', exchange.match.allowed.join(', '));
    }
    if (refusal.status === 503) reply.header('retry-after', String(RETRY_AFTER_S));
    return write(request, reply, { status: refusal.status, body: errorBody(refusal) });
  });

  app.addHook('onResponse', async (request, reply) => {
    audit(request, reply, exchangeOf(request), context);
  });
  return app;
}

function openExchange(request: FastifyRequest, router: Router): Exchange {
  // Fastify keeps what rewriteUrl replaced; the absolute form of a proxy request is its path.
  const original = (request.raw as IncomingMessage & { originalUrl?: string }).originalUrl ?? '/';
  const url = original.replace(/^https?:\/\/[^/?#]*/i, '');
  const target = parseTarget(url);
  const { socket } = request.raw;
  return {
    ids: requestIds(request.headers),
    target,
    match:
      target === null
        ? { found: null, allowed: [] }
        : router.match(request.method, target.segments),
    base: baseUrl(request.headers, {
      encrypted: 'encrypted' in socket && socket.encrypted === true,
      address: socket.localAddress ?? '127.0.0.1',
      port: socket.localPort ?? 0,
    }),
    path: (url.split(/[?#]/)[0] || '/').replace(/\/{2,}/g, '/'),
    caller: null,
    code: null,
    gateway: true,
  };
}

async function dispatch(
  request: FastifyRequest,
  exchange: Exchange,
  context: ApiContext,
  identity: Identity,
): Promise<Answer> {
  const { target, match, ids } = exchange;
  if (target === null) {
    throw new ControlError(
      'InvalidRequestUri',
      400,
      'The request URI cannot be read: it is too long, or its percent-encoding is not UTF-8.',
    );
  }
  const { apiVersion, version } = checkRequest(context.service, target, match);
  if (match.found === null) throw new Error('checkRequest let a path pass that has no route');
  const route = match.found;
  const bytes = Buffer.isBuffer(request.body) ? request.body : null;
  if (route.form === true && (bytes?.length ?? 0) > MAX_FORM_BYTES) throw tooLarge(MAX_FORM_BYTES);
  const body = route.form === true ? {} : parseJson(bytes, request.headers['content-type']);
  exchange.gateway = route.kind !== 'provider';
  const bodies = WRITES.has(route.method) ? await loadBodies() : null;
  const call: Call = {
    context: { ...context, identity },
    service: context.service,
    method: request.method,
    params: match.params,
    query: target.query,
    body,
    get bodies() {
      if (bodies === null) throw new Error(`a ${route.method} has no body to read`);
      return bodies;
    },
    form: route.form === true ? parseForm(bytes) : new Map(),
    headers: oneEach(request.headers),
    actor: {
      name: exchange.caller?.name ?? 'anonymous',
      apiVersion,
      correlationId: ids.correlationId,
    },
    requestId: ids.requestId,
    apiVersion,
    version,
    path: exchange.path,
    base: exchange.base,
    ignored: (names) => {
      if (names.length === 0) return;
      context.log('info', 'fields of a request were ignored', {
        path: exchange.path.slice(0, MAX_AUDIT_PATH),
        fields: names.slice(0, MAX_IGNORED_NAMES).map((name) => name.slice(0, 100)),
        requestId: ids.requestId,
      });
    },
  };
  return route.handle(call);
}

function write(request: FastifyRequest, reply: FastifyReply, answer: Answer): FastifyReply {
  if (answer.headers !== undefined) reply.headers(answer.headers);
  if (request.method === 'HEAD') {
    // A resource that is there answers 204; neither has a body.
    return reply.code(answer.status === 200 ? 204 : answer.status).send();
  }
  reply.code(answer.status);
  if (answer.text !== undefined) return reply.send(answer.text);
  if (answer.body === undefined) return reply.send();
  return reply
    .header('content-type', 'application/json; charset=utf-8')
    .send(JSON.stringify(answer.body));
}

/** Everything that is thrown becomes a refusal that a user can read. */
function asControlError(error: unknown, exchange: Exchange, context: ApiContext): ControlError {
  if (error instanceof ControlError) return error;
  const status =
    typeof error === 'object' && error !== null && 'statusCode' in error
      ? Number(error.statusCode)
      : 500;
  if (status === 413) return tooLarge(MAX_BODY_BYTES);
  if (status === 415) {
    return new ControlError('UnsupportedMediaType', 415, "Only 'application/json' is supported.");
  }
  if (status >= 400 && status < 500) {
    const text = error instanceof Error ? error.message : 'The request is not valid.';
    return new ControlError('BadRequest', status, text);
  }
  context.log('error', 'a request failed', {
    requestId: exchange.ids.requestId,
    path: exchange.path.slice(0, MAX_AUDIT_PATH),
    error: error instanceof Error ? (error.stack ?? error.message) : String(error),
  });
  return new ControlError(
    'InternalServerError',
    500,
    `Something failed that should not: the log has the details under request ${exchange.ids.requestId}.`,
  );
}

function tooLarge(limit: number): ControlError {
  return new ControlError(
    'RequestEntityTooLarge',
    413,
    `The request body is larger than ${limit} bytes.`,
  );
}

/** Discovery is not management: it says nothing about anybody's resources. */
function audit(
  request: FastifyRequest,
  reply: FastifyReply,
  exchange: Exchange,
  context: ApiContext,
): void {
  if (exchange.match.found?.kind === 'open' && exchange.match.found.method === 'GET') return;
  try {
    context.service.audit({
      actor: exchange.caller?.name ?? 'anonymous',
      method: request.method,
      path: exchange.path.slice(0, MAX_AUDIT_PATH),
      apiVersion: (exchange.target?.query.get('api-version') ?? '').slice(0, 40),
      status: reply.statusCode,
      code: exchange.code,
      requestId: exchange.ids.requestId,
      correlationId: exchange.ids.correlationId,
    });
  } catch (error) {
    // The call itself is done and answered; a full disk must not end the process as well.
    context.log('error', 'an audit record was lost', {
      requestId: exchange.ids.requestId,
      error: String(error),
    });
  }
}

function oneEach(headers: IncomingMessage['headers']): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      typeof value === 'string' ? [[name, value]] : [],
    ),
  );
}
