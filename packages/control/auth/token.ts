/**
 * The token of the management API: whoever has it may do everything, so it is a file that only its
 * owner can read, made at the first start, and read by the command line without being asked for.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { TOKEN_FILE } from '../boot-protocol.ts';
import { ControlError } from '../errors.ts';
import { SECRET_BYTES } from './limits.ts';
import { createPrivate, privateFolder, readPrivate } from './private-file.ts';

/** The prefix lets secret scanners find a token that was committed by mistake. */
const TOKEN = /^cinnabar_[A-Za-z0-9_-]{43}$/;

/**
 * For the service: the token, made when there is none.
 *
 * @throws ControlError 500 `TokenDamaged`, `FileModeTooOpen`, `FileNotOurs`
 */
export async function openToken(home: string): Promise<string> {
  const path = tokenFile(home);
  await privateFolder(home);
  const made = `cinnabar_${randomBytes(SECRET_BYTES).toString('base64url')}`;
  const text = await readPrivate(path);
  if (text !== null) return parse(text, path);
  await createPrivate(path, `${made}\n`);
  // Read back: of two starts at once only one made the file.
  return readToken(home);
}

/**
 * For the command line: the token that a service made.
 *
 * @throws ControlError 500 `TokenMissing`, `TokenDamaged`, `FileModeTooOpen`, `FileNotOurs`
 */
export async function readToken(home: string): Promise<string> {
  const path = tokenFile(home);
  const text = await readPrivate(path);
  if (text === null) {
    throw new ControlError(
      'TokenMissing',
      500,
      `There is no ${path}: nothing was started with this data folder yet. Run 'cinnabar up', or set CINNABAR_HOME.`,
    );
  }
  return parse(text, path);
}

export function tokenFile(home: string): string {
  return join(home, TOKEN_FILE);
}

function parse(text: string, path: string): string {
  const token = text.trim();
  if (TOKEN.test(token)) return token;
  throw new ControlError(
    'TokenDamaged',
    500,
    `${path} does not hold a token. Delete it: the next 'cinnabar up' makes a new one.`,
  );
}
