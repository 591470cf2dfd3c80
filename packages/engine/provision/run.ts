/** Runs a short-lived program and keeps what it said; a bound on time and output. */
import { execFile } from 'node:child_process';
import { EngineError, systemCode } from '../errors.ts';

export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly deadlineMs: number;
}

const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

/** Rejects with `program-failed` (its message holds the last lines of stderr) or `program-missing`. */
export function run(file: string, args: readonly string[], options: RunOptions): Promise<Ran> {
  return new Promise((resolve, reject) => {
    execFile(
      file,
      args,
      {
        env: { ...process.env, LC_ALL: 'C', ...options.env },
        timeout: options.deadlineMs,
        killSignal: 'SIGKILL',
        maxBuffer: MAX_OUTPUT_BYTES,
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      },
      (error, stdout, stderr) => {
        if (error === null) return resolve({ stdout, stderr });
        if (systemCode(error) === 'ENOENT') {
          return reject(new EngineError('program-missing', `${file} is not on this system`));
        }
        const why =
          error.killed === true ? `no end within ${options.deadlineMs} ms` : lastLines(stderr);
        reject(new EngineError('program-failed', `${file} failed: ${why}`, '', { cause: error }));
      },
    );
  });
}

function lastLines(text: string): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('W:'));
  return lines.slice(-3).join('; ') || 'it gave no reason';
}
