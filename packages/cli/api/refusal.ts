/** What the API refuses, as the command line says it. */
import { CliError } from '../errors.ts';
import type { ExitName } from '../exit-codes.ts';
import type { HttpAnswer } from './http.ts';

const EXITS: Readonly<Record<number, ExitName>> = {
  400: 'refused',
  401: 'denied',
  403: 'denied',
  404: 'notFound',
  409: 'conflict',
  413: 'refused',
  415: 'refused',
  422: 'refused',
  501: 'unsupported',
};

const REMEDIES: Partial<Record<ExitName, string>> = {
  denied: 'The token is read from the data folder: is --home the folder that `cinnabar up` uses?',
  notFound: 'See what there is: cinnabar list',
  conflict: 'See what is running: cinnabar operations',
  refused: 'Sizes and policies: cinnabar sku list, cinnabar create --help',
};

/** An ARM error as the user reads it. The message says what to do where the server knows. */
export function refusal(answer: HttpAnswer, method: string, pathAndQuery: string): CliError {
  const exit = EXITS[answer.status] ?? 'failed';
  const body = answer.body;
  const error =
    typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined;
  if (typeof error === 'object' && error !== null && 'code' in error && 'message' in error) {
    // ARM's own wording names groups and providers, which the command line never shows.
    const cache = /\/redisEnterprise\/([^/?]+)(?:\?|$)/.exec(pathAndQuery)?.[1];
    if (answer.status === 404 && error.code === 'ResourceNotFound' && cache !== undefined) {
      return new CliError(
        'notFound',
        'no-such-cache',
        `There is no cache named '${decodeURIComponent(cache)}'.`,
        'See what there is: cinnabar list',
      );
    }
    return new CliError(exit, String(error.code), String(error.message), REMEDIES[exit] ?? '');
  }
  return new CliError(
    exit,
    `http-${answer.status}`,
    `${method} ${pathAndQuery.split('?')[0]} answered HTTP ${answer.status} without saying why.`,
    'See the log: cinnabar logs',
  );
}
