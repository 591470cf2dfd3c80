/**
 * Files that only their owner may read: keys, tokens, certificates.
 *
 * Writing: under another name in the same folder with mode 0600 from the first byte, fsync, rename,
 * fsync of the folder. So a reader sees the old file or the new one, a crash leaves one of them, and
 * there is no moment at which somebody else could open it.
 *
 * Reading: the open file is checked, not its path (a path may mean another file a moment later), and
 * symbolic links are refused: they are how a file of one's own is swapped for somebody else's.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, link, lstat, mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ControlError } from '../errors.ts';
import { MAX_PRIVATE_FILE_BYTES } from './limits.ts';

const OTHERS = 0o077;

/**
 * Makes the folder (and its parents) with mode 0700; an existing one of ours gets that mode back.
 *
 * @throws ControlError 500 `FolderNotOurs` when it belongs to another user or is no folder
 */
export async function privateFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const stat = await lstat(path);
  if (!stat.isDirectory() || !isOurs(stat.uid)) {
    throw new ControlError(
      'FolderNotOurs',
      500,
      `${path} must be a folder of the user that runs this service (it belongs to user ${stat.uid}). ` +
        'Move it away, or choose another CINNABAR_HOME.',
    );
  }
  if ((stat.mode & 0o777) !== 0o700) await chmod(path, 0o700);
}

/** Replaces the file at once and for good (see the head of this file). The folder must exist. */
export async function writePrivate(path: string, content: string | Buffer): Promise<void> {
  const temporary = await writeBeside(path, content);
  try {
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/** As `writePrivate`, but answers false and changes nothing when the file is already there. */
export async function createPrivate(path: string, content: string | Buffer): Promise<boolean> {
  const temporary = await writeBeside(path, content);
  try {
    // Unlike rename, link fails when the name is taken: of two starts at once, one wins.
    await link(temporary, path);
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
  await syncFolder(dirname(path));
  return true;
}

/**
 * The content, or null when there is no such file.
 *
 * @throws ControlError 500 `FileNotOurs` (another owner, a link, no plain file), `FileNotReadable`,
 * `FileModeTooOpen`, `FileTooLarge`
 */
export async function readPrivate(path: string): Promise<string | null> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch(
    async (error) => {
      if (isCode(error, 'ENOENT')) return null;
      if (isCode(error, 'ELOOP')) throw notOurs(path, 'it is a symbolic link');
      if (isCode(error, 'EACCES') || isCode(error, 'EPERM')) throw await unreadable(path);
      throw error;
    },
  );
  if (handle === null) return null;
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw notOurs(path, 'it is not a plain file');
    if (!isOurs(stat.uid)) throw notOurs(path, `it belongs to user ${stat.uid}`);
    if ((stat.mode & OTHERS) !== 0) throw tooOpen(path, stat.mode);
    if (stat.size > MAX_PRIVATE_FILE_BYTES) {
      throw new ControlError(
        'FileTooLarge',
        500,
        `${path} has ${stat.size} bytes; nothing written here has more than ${MAX_PRIVATE_FILE_BYTES}. Restore it from a backup.`,
      );
    }
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

async function writeBeside(path: string, content: string | Buffer): Promise<string> {
  const name = `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`;
  const temporary = join(dirname(path), name);
  const handle = await open(temporary, 'wx', 0o600);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
  return temporary;
}

/** A rename is durable when the folder that holds the names is. */
async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function isOurs(uid: number): boolean {
  return process.getuid === undefined || uid === process.getuid();
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

function notOurs(path: string, why: string): ControlError {
  return new ControlError(
    'FileNotOurs',
    500,
    `${path} is not used: ${why}. Only a plain file of the user that runs this service is: give it back to that user (chown), or move it away.`,
  );
}

/** Of a file of ours the mode is wrong; of another's, the owner. */
async function unreadable(path: string): Promise<ControlError> {
  const uid = (await lstat(path).catch(() => null))?.uid;
  if (uid !== undefined && !isOurs(uid)) return notOurs(path, `it belongs to user ${uid}`);
  return new ControlError(
    'FileNotReadable',
    500,
    `${path} cannot be read. Type: chmod 700 '${dirname(path)}'; chmod 600 '${path}'`,
  );
}

function tooOpen(path: string, mode: number): ControlError {
  return new ControlError(
    'FileModeTooOpen',
    500,
    `${path} has mode ${(mode & 0o777).toString(8)}, so others can read it. If nobody did: chmod 600 '${path}'. ` +
      'If somebody may have: replace what is in it.',
  );
}
