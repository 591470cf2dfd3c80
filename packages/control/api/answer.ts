/** What a handler answers: a status, headers, and a body that is sent as JSON. */
import { ControlError } from '../errors.ts';

export interface Answer {
  readonly status: number;
  readonly body?: unknown;
  /** Instead of a body: sent as it is, with the content type in `headers`. */
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export function ok(body: unknown): Answer {
  return { status: 200, body };
}

export const NO_CONTENT: Answer = { status: 204 };

/** What is not built says so, with the reason; it never pretends. */
export function notImplemented(what: string): never {
  throw new ControlError('NotImplemented', 501, what);
}

/** ARM's error document. */
export function errorBody(error: ControlError): unknown {
  const { code, message, target } = error;
  return { error: target === null ? { code, message } : { code, message, target } };
}
