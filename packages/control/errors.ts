/**
 * A refusal that a user reads: a stable code (ARM's where ARM has one), what was wrong, what to do.
 * `status` is the HTTP status that fits; the API maps nothing else.
 */
export class ControlError extends Error {
  override readonly name = 'ControlError';
  readonly code: string;
  readonly status: number;
  readonly target: string | null;

  constructor(code: string, status: number, message: string, target: string | null = null) {
    super(message);
    this.code = code;
    this.status = status;
    this.target = target;
  }
}
