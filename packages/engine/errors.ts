/**
 * A failure around an engine: a stable kebab-case code, what was wrong with which value, and what
 * to do next. Never carries a password: messages name commands, never their arguments.
 */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly code: string;
  /** What the user or the caller can do about it; '' when there is nothing to do. */
  readonly remedy: string;

  constructor(code: string, message: string, remedy = '', options: ErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.remedy = remedy;
  }
}

/** The text of whatever was thrown. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The `code` of a Node system error ('ENOENT'), or ''. */
export function systemCode(thrown: unknown): string {
  if (thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string') {
    return thrown.code;
  }
  return '';
}
