/**
 * One request to the management API of this machine. Plain `node:http`, because the built-in fetch
 * cannot be given a CA, and the API's certificate is signed by ours.
 */
import { CliError, errorCode } from '../errors.ts';
import { MAX_ANSWER_BYTES, REQUEST_TIMEOUT_MS } from '../limits.ts';

// `import` would look at every export, and one of them makes Node load its whole fetch: a third of the
// time of a short command.
const { request: httpRequest } = process.getBuiltinModule('node:http');

export interface Target {
  /** Base URL without a trailing slash. */
  readonly url: string;
  readonly token: string;
  /** PEM of the CA, for https. */
  readonly ca: string | null;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Parsed JSON, or null for an empty body. */
  readonly body: unknown;
}

export async function send(
  target: Target,
  method: string,
  pathAndQuery: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<HttpAnswer> {
  const url = new URL(target.url + pathAndQuery);
  const secure = url.protocol === 'https:';
  const text = body === undefined ? null : JSON.stringify(body);
  const headers: Record<string, string> = {
    authorization: `Bearer ${target.token}`,
    accept: 'application/json',
    'user-agent': 'cinnabar-cli',
  };
  if (text !== null) {
    headers['content-type'] = 'application/json';
    headers['content-length'] = String(Buffer.byteLength(text));
  }
  const options = {
    method,
    headers,
    timeout: REQUEST_TIMEOUT_MS,
    ...(signal === undefined ? {} : { signal }),
    ...(secure && target.ca !== null ? { ca: target.ca } : {}),
  };
  const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
  const request = secure ? process.getBuiltinModule('node:https').request : httpRequest;
  const call = request(url, options, (response) => {
    const chunks: Buffer[] = [];
    let size = 0;
    response.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_ANSWER_BYTES) call.destroy(new Error('the answer is too large'));
      else chunks.push(chunk);
    });
    response.on('error', reject);
    response.on('end', () => {
      const answer = Buffer.concat(chunks).toString('utf8');
      const plain: Record<string, string> = {};
      for (const [name, value] of Object.entries(response.headers)) {
        if (value !== undefined) plain[name] = Array.isArray(value) ? value.join(', ') : value;
      }
      try {
        const parsed: unknown = answer.trim() === '' ? null : JSON.parse(answer);
        resolve({ status: response.statusCode ?? 0, headers: plain, body: parsed });
      } catch {
        reject(new Error(`the answer is not JSON (HTTP ${response.statusCode})`));
      }
    });
  });
  call.on('timeout', () =>
    call.destroy(new Error(`no answer in ${REQUEST_TIMEOUT_MS / 1000} seconds`)),
  );
  call.on('error', reject);
  call.end(text ?? undefined);
  try {
    return await promise;
  } catch (error) {
    throw unreachable(error, url);
  }
}

function unreachable(error: unknown, url: URL): CliError {
  const code = errorCode(error);
  if (code === 'ECONNREFUSED' || code === 'ENOENT' || code === 'ECONNRESET') {
    return new CliError(
      'notRunning',
      'not-running',
      `The management API at ${url.origin} does not answer (${code}).`,
      'It may be starting again: try once more, or start it with: cinnabar up',
    );
  }
  return new CliError(
    'failed',
    code === '' ? 'request-failed' : code,
    `Asking ${url.origin}${url.pathname} failed: ${error instanceof Error ? error.message : String(error)}.`,
    'Run: cinnabar doctor',
  );
}
