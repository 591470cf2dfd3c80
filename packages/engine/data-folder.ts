/**
 * The files of one engine: what is written before a start, what is moved out of its way, and what
 * may be loaded.
 *
 * Nothing is ever overwritten that could be the last copy of data. What must not be loaded is
 * renamed into `leftover.<n>`, the role file of the last run into `nodes.conf.<epoch>`, a data file
 * that was loaded once into `*.consumed`.
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, rmSync, writeFileSync } from 'node:fs';
import {
  chmod,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { FILES, type LaunchFiles, rolePath } from './config.ts';
import type { EngineLaunch } from './contract.ts';
import { EngineError, systemCode } from './errors.ts';
import { KEPT_NODES_FILES, MAX_SOCKET_PATH_BYTES, ROLE_BYTES } from './limits.ts';
import { epochOf } from './nodes-conf.ts';

/** Data files and folders of an engine. */
const LEFTOVER = /^(?:dump\.rdb|appendonlydir|appendonly\.aof)$/;
/** What a child or a sync was writing when it died: never a complete copy. */
const UNFINISHED = /^temp-/;

/** Makes the folder ready for a start. Durable when it resolves: the role must survive a power loss. */
export async function prepareFolder(launch: EngineLaunch, files: LaunchFiles): Promise<void> {
  await privateFolder(launch.dataDir);
  await socketFolder(launch.socket);
  await rm(launch.socket, { force: true });
  if (launch.load === 'nothing') await moveLeftovers(launch.dataDir);
  for (const path of [join(launch.dataDir, FILES.nodes), rolePath(launch.socket)]) {
    await keepRoleFile(launch.dataDir, path);
  }
  const at = (name: string): string => join(launch.dataDir, name);
  await writeDurably(at(FILES.claim), claim(launch, files));
  await writeDurably(at(FILES.users), files.users);
  if (files.nodes !== null) await writeDurably(files.nodes.path, files.nodes.text);
  await writeDurably(at(FILES.config), files.config);
  await syncFolder(launch.dataDir);
}

/** Names the instance to whoever finds the folder or the process; nothing secret. */
function claim(launch: EngineLaunch, files: LaunchFiles): string {
  const record = {
    instance: launch.instance,
    role: launch.role.kind,
    load: launch.load,
    socket: launch.socket,
    port: launch.port,
    startedBy: process.pid,
    startedAt: Date.now(),
    settingsLeftOut: files.leftOut,
  };
  return `${JSON.stringify(record, null, 1)}\n`;
}

async function moveLeftovers(dataDir: string): Promise<void> {
  const names = await readdir(dataDir);
  for (const name of names) if (UNFINISHED.test(name)) await rm(join(dataDir, name));
  const found = names.filter((name) => LEFTOVER.test(name));
  if (found.length === 0) return;
  const target = await freeName(join(dataDir, 'leftover'));
  await mkdir(target, { mode: 0o700 });
  for (const name of found) await rename(join(dataDir, name), join(target, name));
}

async function keepRoleFile(dataDir: string, path: string): Promise<void> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  const aside = join(dataDir, `${FILES.nodes}.${epochOf(text) ?? 'unreadable'}`);
  await writeFile(aside, text, { mode: 0o600 });
  await rm(path);
  const kept = (await readdir(dataDir)).filter((name) => name.startsWith(`${FILES.nodes}.`));
  const byAge = await Promise.all(
    kept.map(async (name) => ({ name, at: (await stat(join(dataDir, name))).mtimeMs })),
  );
  byAge.sort((a, b) => b.at - a.at);
  for (const { name } of byAge.slice(KEPT_NODES_FILES)) await rm(join(dataDir, name));
}

/** A folder that only we can enter: made, or checked when it is there. */
async function privateFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const found = await stat(folder);
  if (!found.isDirectory() || found.uid !== process.getuid?.()) {
    throw new EngineError(
      'folder-not-ours',
      `${folder} belongs to another user (uid ${found.uid})`,
      'Remove it, or set CINNABAR_HOME and XDG_RUNTIME_DIR to folders of your own.',
    );
  }
  if ((found.mode & 0o077) !== 0) await chmod(folder, 0o700);
}

async function socketFolder(socket: string): Promise<void> {
  const bytes = Buffer.byteLength(socket);
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    throw new EngineError(
      'socket-path-too-long',
      `the socket path ${socket} has ${bytes} bytes; the system takes ${MAX_SOCKET_PATH_BYTES}`,
      'Set XDG_RUNTIME_DIR to a shorter folder.',
    );
  }
  await privateFolder(dirname(socket));
}

export interface DataFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** The snapshot that an engine would load; null when there is none or it is no snapshot. */
export function findDataFile(dataDir: string): Promise<DataFile | null> {
  return snapshotAt(join(dataDir, FILES.data));
}

async function snapshotAt(path: string): Promise<DataFile | null> {
  try {
    const { size } = await stat(path);
    const hash = createHash('sha256');
    let head = '';
    for await (const chunk of createReadStream(path)) {
      if (!Buffer.isBuffer(chunk)) continue;
      if (head.length < 6) head += chunk.toString('latin1', 0, 6);
      hash.update(chunk);
    }
    if (!/^(?:REDIS|VALKEY)/.test(head)) return null;
    return { path, bytes: size, sha256: hash.digest('hex') };
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    throw error;
  }
}

export async function dropFile(dataDir: string): Promise<void> {
  await rm(join(dataDir, FILES.data), { force: true });
}

export async function consumeFile(dataDir: string): Promise<void> {
  const path = join(dataDir, FILES.data);
  await renameIfThere(path, consumedName(path));
  await syncFolder(dataDir).catch(ignoreAbsent);
}

/**
 * Tried, and not computed: a quota is no less a full disk. Only where the role lies with the data (see
 * `nodesPath`); elsewhere the engine goes on without it.
 */
export function roomForRole(dataDir: string): boolean {
  const role = join(dataDir, FILES.nodes);
  if (!existsSync(role)) return true;
  const trial = `${role}.trial`;
  try {
    writeFileSync(trial, Buffer.alloc(ROLE_BYTES, 1), { mode: 0o600 });
    return true;
  } catch {
    return false;
  } finally {
    rmSync(trial, { force: true, recursive: true }); // What was written of it takes room, too.
  }
}

/** Never over a data file: what is there may be newer. */
export async function reviveFile(dataDir: string, sha256: string): Promise<boolean> {
  const path = join(dataDir, FILES.data);
  if ((await findDataFile(dataDir)) !== null) return false;
  if ((await snapshotAt(consumedName(path)))?.sha256 !== sha256) return false;
  await renameIfThere(consumedName(path), path);
  await syncFolder(dataDir).catch(ignoreAbsent);
  return true;
}

function consumedName(path: string): string {
  return `${path}.consumed`;
}

export async function setFolderAside(dataDir: string, label: string): Promise<void> {
  if (!/^[A-Za-z0-9-]+$/.test(label)) {
    throw new EngineError(
      'bad-label',
      `${JSON.stringify(label)} cannot be part of a folder's name`,
    );
  }
  await renameIfThere(dataDir, await freeName(`${dataDir}.${label}`));
  await syncFolder(dirname(dataDir)).catch(ignoreAbsent);
}

/** Everything that `setFolderAside` made for this folder: its name, a dot, a label. */
export async function dropFoldersAside(dataDir: string): Promise<void> {
  const prefix = `${basename(dataDir)}.`;
  const names = await readdir(dirname(dataDir)).catch(() => []);
  for (const name of names) {
    if (!name.startsWith(prefix)) continue;
    await rm(join(dirname(dataDir), name), { recursive: true, force: true });
  }
}

export async function removeFolder(dataDir: string, socket: string): Promise<void> {
  if (socket !== '') {
    await rm(socket, { force: true });
    await rm(rolePath(socket), { force: true });
  }
  await rm(dataDir, { recursive: true, force: true });
  await dropFoldersAside(dataDir);
}

async function renameIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    ignoreAbsent(error);
  }
}

function ignoreAbsent(error: unknown): void {
  // The step was done before, by us or by a predecessor that crashed after it.
  if (systemCode(error) !== 'ENOENT') throw error;
}

/** `wanted`, or `wanted.2`, `wanted.3`, ...: earlier ones are kept. */
async function freeName(wanted: string): Promise<string> {
  const names = new Set(await readdir(dirname(wanted)).catch(() => []));
  let name = wanted;
  for (let n = 2; names.has(basename(name)); n++) name = `${wanted}.${n}`;
  return name;
}

/** A new file, whole or not at all, readable by us only. */
async function writeDurably(path: string, text: string): Promise<void> {
  const staged = `${path}.new`;
  await rm(staged, { force: true });
  const handle = await open(staged, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(staged, path);
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
