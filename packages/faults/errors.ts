/** Why a fault could not be set: a stable code, and what is missing. */
export class FaultError extends Error {
  override readonly name = 'FaultError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}
