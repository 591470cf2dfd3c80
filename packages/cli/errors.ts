import type { ExitName } from './exit-codes.ts';

/**
 * What a user reads when a command cannot be done: a stable code, what was wrong, what to do. Without
 * a remedy of its own, a bad value gets the command's help as one (`action`).
 */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly code: string;
  readonly remedy: string;
  readonly exit: ExitName;

  constructor(exit: ExitName, code: string, message: string, remedy: string) {
    super(message);
    this.exit = exit;
    this.code = code;
    this.remedy = remedy;
  }
}

/** Errors of the operating system, in words. */
export function systemError(error: unknown, doing: string, path: string): CliError {
  const code = errorCode(error);
  const denied = code === 'EACCES' || code === 'EPERM';
  const remedy: Record<string, string> = {
    EACCES: `Check who owns it: ls -ld '${path}'`,
    EPERM: `Check who owns it: ls -ld '${path}'`,
    ENOSPC: 'Free some disk space, then try again: df -h',
    EROFS: 'The file system is read-only. Choose another folder with --home.',
    ENOTDIR: 'A part of the path is a file. Choose another folder with --home.',
    ENAMETOOLONG: 'Choose a shorter path with --home.',
  };
  return new CliError(
    denied ? 'denied' : 'failed',
    code === '' ? 'system-error' : code,
    `Cannot ${doing} ${path}: ${error instanceof Error ? error.message : String(error)}`,
    remedy[code] ?? 'Run: cinnabar doctor',
  );
}

export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : '';
}
