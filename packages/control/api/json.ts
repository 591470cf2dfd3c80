/** Request bodies: JSON within bounds, whatever was sent. Pure. */
import { ControlError } from '../errors.ts';
import { MAX_BODY_DEPTH } from './limits.ts';

/** `{}` for an empty body: several actions have none. Throws ControlError 400 and 415. */
export function parseJson(bytes: Buffer | null, contentType: string | undefined): unknown {
  if (bytes === null || bytes.length === 0) return {};
  const type = (contentType ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  if (type !== '' && type !== 'application/json' && !type.endsWith('+json')) {
    throw new ControlError(
      'UnsupportedMediaType',
      415,
      `The content media type '${type.slice(0, 80)}' is not supported. Only 'application/json' is.`,
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new ControlError(
      'InvalidRequestContent',
      400,
      `The request content was invalid and could not be deserialized: '${(error instanceof Error ? error.message : '').slice(0, 200)}'.`,
    );
  }
  if (isTooDeep(value)) {
    throw new ControlError(
      'InvalidRequestContent',
      400,
      `The request content is nested deeper than ${MAX_BODY_DEPTH} levels.`,
    );
  }
  return value;
}

/** Level by level, without recursion: the depth is what is in doubt. */
function isTooDeep(value: unknown): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; depth <= MAX_BODY_DEPTH; depth++) {
    level = level.flatMap((each) =>
      typeof each === 'object' && each !== null ? Object.values(each) : [],
    );
    if (level.length === 0) return false;
  }
  return true;
}

/** Of a repeated field the first counts. */
export function parseForm(bytes: Buffer | null): ReadonlyMap<string, string> {
  const form = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(bytes?.toString('utf8') ?? '')) {
    if (!form.has(name)) form.set(name, value);
  }
  return form;
}
