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
  507: 'refused',
};

/** By code, where the status says another thing: ARM answers 409 also where there is no room. */
const EXITS_OF: Readonly<Record<string, ExitName>> = { InsufficientCapacity: 'refused' };

const SKUS = 'Sizes and what they mean here: cinnabar sku list';

const WAYS_BACK = 'See which caches have a way back: cinnabar maintain --list';

/** By code, where the kind of error says too little. */
const REMEDIES_OF: Readonly<Record<string, string>> = {
  InsufficientCapacity: 'Sizes, and what has room: cinnabar sku list',
  InvalidSkuCapacity: SKUS,
  SkuNotAllowedForPolicy: SKUS,
  ClientNotFound: 'See who is connected: cinnabar clients <name>',
  EngineMissing: 'Engines of this machine: cinnabar engine list',
  EngineUpToDate: 'Engines of this machine: cinnabar engine list',
  NoWayBack: WAYS_BACK,
  UpgradeNotComplete: WAYS_BACK,
  WayBackOpen: WAYS_BACK,
  NothingToSkip: 'See what is due, and when: cinnabar maintain --list',
  UsedMemoryTooLarge: 'See what it fits in: cinnabar sku list --for <name>',
  ReplicaNotInSync: 'Wait until it says in-sync: cinnabar show <name>',
  NothingToFailOver:
    'Without --accept-data-loss replicas take over, and nothing is lost: cinnabar failover <name>',
  // Their messages say it: the name that was meant, or where all are; a port that is free.
  InvalidSku: '',
  PortInUse: '',
  DiskFull: 'See what is free: df -h',
};

const REMEDIES: Partial<Record<ExitName, string>> = {
  denied: 'The token is read from the data folder: is --home the folder that `cinnabar up` uses?',
  notFound: 'See what there is: cinnabar list',
  conflict: 'See what is running: cinnabar operations',
};

export function noDatabase(name: string): CliError {
  return new CliError(
    'notFound',
    'no-database',
    `The cache '${name}' has no database (yet).`,
    `Is it being made? cinnabar operations. If not, this says how to complete it: cinnabar show ${name}`,
  );
}

const OUR_COMMAND = /\bcinnabar [a-z]/;

const ofPath = (cache: string | undefined): string => decodeURIComponent(cache ?? '<name>');

/** An ARM error as the user reads it. The message says what to do where the server knows. */
export function refusal(answer: HttpAnswer, method: string, pathAndQuery: string): CliError {
  const exit = EXITS[answer.status] ?? 'failed';
  const body = answer.body;
  const error =
    typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined;
  if (typeof error === 'object' && error !== null && 'code' in error && 'message' in error) {
    const code = String(error.code);
    const message = String(error.message);
    if (code === 'ResourceNotFound' && message.startsWith('There is no operation')) {
      return new CliError('notFound', code, message, 'See what there is: cinnabar operations');
    }
    // ARM's own wording names groups and providers, which the command line never shows.
    const cache = /(?:\/redisEnterprise\/|[?&]cluster=)([^/?&]+)/.exec(pathAndQuery)?.[1];
    const ofCache = /redisEnterprise\/[^/']+'|^There is no cluster '/.test(message);
    const ofDatabase = /redisEnterprise\/[^/']+\/databases\/[^/']+'/.test(message);
    if (code === 'ResourceNotFound' && cache !== undefined && ofDatabase) {
      return noDatabase(ofPath(cache));
    }
    if (code === 'ResourceNotFound' && cache !== undefined && ofCache) {
      return new CliError(
        'notFound',
        'no-such-cache',
        `There is no cache named '${ofPath(cache)}'.`,
        'See what there is: cinnabar list',
      );
    }
    const ended = EXITS_OF[code] ?? exit;
    // What holds for this kind of error is no help where the message names the command.
    const general = OUR_COMMAND.test(message) ? '' : (REMEDIES[ended] ?? '');
    const remedy = (REMEDIES_OF[code] ?? general).replace('<name>', ofPath(cache));
    return new CliError(ended, code, message, remedy);
  }
  return new CliError(
    exit,
    `http-${answer.status}`,
    `${method} ${pathAndQuery.split('?')[0]} answered HTTP ${answer.status} without saying why.`,
    'See the log: cinnabar logs',
  );
}
