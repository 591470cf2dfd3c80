/**
 * The log of the control process: whatever it prints, appended to one file that only the owner can
 * read. The child writes to the descriptor itself, so a crash loses no line. At its bound the file is
 * copied to `.1` and emptied in place: the descriptor is in append mode, so the next line lands at
 * the beginning.
 */
import {
  closeSync,
  copyFileSync,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { LOG_FILE, LOG_FOLDER } from '../../control/boot-protocol.ts';
import { systemError } from '../errors.ts';
import { LOG_CHECK_MS, LOG_ROTATE_BYTES } from '../limits.ts';

export interface ControlLog {
  readonly file: string;
  readonly fd: number;
  write(line: string): void;
  close(): void;
}

export function logFile(home: string): string {
  return path.join(home, LOG_FOLDER, LOG_FILE);
}

export function openControlLog(home: string, rotateAt: number = LOG_ROTATE_BYTES): ControlLog {
  const file = logFile(home);
  let fd: number;
  try {
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    fd = openSync(file, 'a', 0o600);
    fchmodSync(fd, 0o600);
  } catch (error) {
    throw systemError(error, 'open the log', file);
  }
  const check = (): void => {
    try {
      if (fstatSync(fd).size < rotateAt) return;
      copyFileSync(file, `${file}.1`);
      ftruncateSync(fd, 0);
    } catch (error) {
      // A full disk must not end the parent; the log goes on growing and says why.
      const reason = error instanceof Error ? error.message : String(error);
      process.stderr.write(`cinnabar: cannot rotate ${file}: ${reason}\n`);
    }
  };
  check();
  const timer = setInterval(check, LOG_CHECK_MS).unref();
  return {
    file,
    fd,
    write: (line) => {
      try {
        writeSync(fd, line);
      } catch {
        // A full disk must not end the parent, and there is nowhere to say it.
      }
    },
    close: () => {
      clearInterval(timer);
      closeSync(fd);
    },
  };
}
