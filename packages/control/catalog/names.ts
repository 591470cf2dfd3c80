/** What may be a name of a cache, a database or a resource group. Rules and codes are ARM's. */
import { ControlError } from '../errors.ts';
import { MAX_GROUP_NAME_LENGTH, MAX_NAME_LENGTH } from './limits.ts';

export interface NameProblem {
  readonly code: string;
  readonly message: string;
}

const NAME = /^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$/;
const GROUP = /^[-\w._()]+$/;

/**
 * Words that Resource Manager refuses as a whole name, and words that it refuses anywhere in one or
 * at its beginning (Microsoft's page on reserved resource names). Refused here too, so that what is
 * named here can be named there. `localhost` is ours: it is what host names are made of.
 */
const RESERVED = new Set(
  (
    'access azure bing bizspark biztalk cortana directx dotnet dynamics excel exchange forefront ' +
    'groove hololens hyperv kinect lync msdn o365 office office365 onedrive onenote outlook ' +
    'powerpoint sharepoint skype visio visualstudio localhost'
  ).split(' '),
);
const RESERVED_ANYWHERE = ['microsoft', 'windows'];
const RESERVED_PREFIX = ['login', 'xbox'];

/** Why a cache cannot have this name, or null when it can. Whether it is taken is not known here. */
export function clusterNameProblem(name: string): NameProblem | null {
  if (name === '') return { code: 'InvalidResourceName', message: 'The name is empty.' };
  if (name.length > MAX_NAME_LENGTH) {
    return {
      code: 'InvalidResourceName',
      message: `The name has ${name.length} characters; at most ${MAX_NAME_LENGTH} are allowed.`,
    };
  }
  if (!NAME.test(name)) {
    return {
      code: 'InvalidResourceName',
      message:
        `The name '${name}' is not allowed: letters, digits and single hyphens only, ` +
        'with a letter or digit at both ends.',
    };
  }
  return reservedProblem(name);
}

function reservedProblem(name: string): NameProblem | null {
  const lower = name.toLowerCase();
  const word = RESERVED.has(lower)
    ? lower
    : (RESERVED_ANYWHERE.find((each) => lower.includes(each)) ??
      RESERVED_PREFIX.find((each) => lower.startsWith(each)));
  if (word === undefined) return null;
  return {
    code: 'ReservedResourceName',
    message: `The name '${name}' uses the reserved word '${word}'. Choose another one.`,
  };
}

/** Why a database cannot have this name: there is one database a cache, and it is `default`. */
export function databaseNameProblem(name: string): NameProblem | null {
  if (name === 'default') return null;
  return {
    code: 'InvalidResourceName',
    message: `A cache has one database, and its name is 'default', not '${name.slice(0, MAX_NAME_LENGTH)}'.`,
  };
}

/** Why a resource group cannot have this name. */
export function groupNameProblem(name: string): NameProblem | null {
  if (name.length <= MAX_GROUP_NAME_LENGTH && GROUP.test(name) && !name.endsWith('.')) return null;
  return {
    code: 'InvalidResourceGroupName',
    message:
      `The resource group name '${name.slice(0, MAX_GROUP_NAME_LENGTH)}' is not allowed: 1 to ` +
      `${MAX_GROUP_NAME_LENGTH} letters, digits, '-', '_', '.', '(' and ')', not ending in a full stop.`,
  };
}

/** @throws ControlError 400 with the problem's code */
export function requireName(problem: NameProblem | null, target: string): void {
  if (problem !== null) throw new ControlError(problem.code, 400, problem.message, target);
}
