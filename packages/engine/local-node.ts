/** The machine we run on, as a place for engines. */
import { realpathSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, sep } from 'node:path';
import { Children } from './children.ts';
import { FILES, launchFiles } from './config.ts';
import type {
  EngineBuild,
  EngineLaunch,
  EngineLink,
  EngineLogin,
  EngineNode,
  KnownEngine,
  ProcessFacts,
  ProcessRef,
} from './contract.ts';
import {
  consumeFile,
  type DataFile,
  dropFile,
  dropFoldersAside,
  findDataFile,
  prepareFolder,
  removeFolder,
  reviveFile,
  roomForRole,
  setFolderAside,
} from './data-folder.ts';
import { EngineError } from './errors.ts';
import { CHILDREN_GONE_MS } from './limits.ts';
import { openLink } from './link.ts';
import { childrenGone, fence, startDetached } from './process.ts';
import { inspectProcess, placeOf, processesIn, readStat } from './procfs.ts';
import type { ProvisionedEngine } from './provision/index.ts';
import { type Weight, Weights } from './weights.ts';

export interface LocalNodeOptions {
  readonly id: string;
  /** Every data folder of this node is below it. */
  readonly dataRoot: string;
  readonly engine: ProvisionedEngine;
  /** Older or newer ones that databases run or may go back to. */
  readonly others?: readonly ProvisionedEngine[];
}

/** The loader, or the engine itself where it was not started through one. */
const ENGINE_EXECUTABLE = /\/(?:ld-linux[^/]*|(?:valkey|redis)-(?:server|check-rdb|check-aof))$/;
const ENGINE_TITLE = /^(?:valkey|redis)-server$/;
const LOADER_TITLE = /^ld-linux/;

export class LocalNode implements EngineNode {
  readonly id: string;
  readonly engine: EngineBuild;
  readonly #dataRoot: string;
  /** By label. */
  readonly #engines: ReadonlyMap<string, ProvisionedEngine>;
  readonly #exitListeners: ((process: ProcessRef) => void)[] = [];
  /** Ended here; whether their children are gone was not looked at yet. */
  readonly #fenced = new Set<ProcessRef>();
  readonly #children = new Children();
  readonly #weights = new Weights();

  constructor(options: LocalNodeOptions) {
    this.id = options.id;
    this.engine = options.engine.build;
    this.#dataRoot = options.dataRoot;
    this.#engines = new Map(
      [...(options.others ?? []), options.engine].map((each) => [labelOf(each.build), each]),
    );
  }

  known(label: string): KnownEngine | null {
    const engine = this.#engines.get(label);
    if (engine === undefined) return null;
    const { capabilities, documents } = engine;
    return { label, commands: capabilities.commands, arguments: documents };
  }

  async start(launch: EngineLaunch): Promise<ProcessRef> {
    const label = launch.engine ?? labelOf(this.engine);
    const engine = this.#engines.get(label);
    if (engine === undefined) {
      throw new EngineError(
        'engine-missing',
        `${label} is not on this machine any more`,
        'Install it again, or use another: cinnabar engine list.',
      );
    }
    await this.#childrenGone();
    const files = launchFiles(launch, engine.capabilities);
    await prepareFolder(launch, files);
    return startDetached(
      engine.server,
      [join(launch.dataDir, FILES.config)],
      launch.dataDir,
      join(launch.dataDir, FILES.log),
      (ended) => {
        for (const listener of this.#exitListeners) listener(ended);
      },
    );
  }

  onExit(listener: (process: ProcessRef) => void): void {
    this.#exitListeners.push(listener);
  }

  /**
   * An engine stands in its data folder from its first instruction on (we start it there), and the
   * kernel follows the folder when it is renamed. Its command line tells it from a shell that was
   * opened there, and from its own children, which carry other titles.
   *
   * Folders are looked at first, because that is one question to the kernel for each of the machine's
   * processes; the others are asked of the few that stand in ours.
   */
  async find(
    dataDir?: string,
  ): Promise<readonly { readonly dataDir: string; readonly process: ProcessRef }[]> {
    const found: { dataDir: string; process: ProcessRef }[] = [];
    const uid = process.getuid?.();
    const root = realPath(this.#dataRoot);
    const only = dataDir === undefined ? null : root + dataDir.slice(this.#dataRoot.length);
    const ours = (folder: string) =>
      only === null ? folder.startsWith(root + sep) : folder === only;
    for (const pid of processesIn(ours)) {
      const place = placeOf(pid);
      const stat = readStat(pid);
      if (place === null || stat === null || place.uid !== uid) continue;
      if (!ENGINE_EXECUTABLE.test(place.executable)) continue;
      if (!ENGINE_TITLE.test(place.title) && !LOADER_TITLE.test(place.title)) continue;
      // A child that forked this instant still bears the engine's own title; its group is the engine's.
      if (stat.group !== stat.pid) continue;
      found.push({
        // As the caller writes it: the root may be reached through a link.
        dataDir: this.#dataRoot + place.workingDirectory.slice(root.length),
        process: { pid: stat.pid, startTicks: stat.startTicks },
      });
    }
    return found;
  }

  inspect(process: ProcessRef): ProcessFacts {
    return inspectProcess(process);
  }

  async kill(process: ProcessRef, deadlineMs: number): Promise<void> {
    await fence(process, deadlineMs);
    this.#fenced.add(process);
  }

  /** Nothing touches the files of a dead engine while a child of it may still write some. */
  async #childrenGone(): Promise<void> {
    for (const leader of [...this.#fenced]) {
      await childrenGone(leader, CHILDREN_GONE_MS);
      this.#fenced.delete(leader);
    }
  }

  ease(process: ProcessRef, forMs: number): void {
    this.#children.ease(process, forMs);
  }

  weigh(process: ProcessRef, weight: Weight): void {
    this.#weights.set(process, weight);
  }

  link(socket: string, login: EngineLogin, deadlineMs: number): Promise<EngineLink> {
    return openLink(socket, login, deadlineMs);
  }

  async setAside(dataDir: string, label: string): Promise<void> {
    await this.#childrenGone();
    return setFolderAside(dataDir, label);
  }

  dropAside(dataDir: string): Promise<void> {
    return dropFoldersAside(dataDir);
  }

  async removeData(dataDir: string, socket: string): Promise<void> {
    await this.#childrenGone();
    return removeFolder(dataDir, socket);
  }

  async dataFile(dataDir: string): Promise<DataFile | null> {
    await this.#childrenGone();
    return findDataFile(dataDir);
  }

  async dropDataFile(dataDir: string): Promise<void> {
    await this.#childrenGone();
    return dropFile(dataDir);
  }

  consumeDataFile(dataDir: string): Promise<void> {
    return consumeFile(dataDir);
  }

  async reviveDataFile(dataDir: string, sha256: string): Promise<boolean> {
    await this.#childrenGone();
    return reviveFile(dataDir, sha256);
  }

  canWriteRole(dataDir: string): boolean {
    return roomForRole(dataDir);
  }

  portIsFree(host: string, port: number): Promise<boolean> {
    return new Promise((resolve) => {
      const server = createServer();
      server.once('error', () => resolve(false));
      // exclusive: our own cluster workers, if any, must not share it either.
      server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
    });
  }
}

/** As it is recorded with instances. */
export function labelOf({ name, version }: Pick<EngineBuild, 'name' | 'version'>): string {
  return `${name} ${version}`;
}

function realPath(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    // Not made yet: then nothing runs below it.
    return folder;
  }
}
