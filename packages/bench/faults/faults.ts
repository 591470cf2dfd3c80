/**
 * Faults on processes, disks and clocks: each with a duration, each undone at its end, also when
 * the process that set it is killed (see `guardian.ts`). Faults on connections: `network.ts`.
 *
 * What a fault needs is said by its error: some need the right to mount (`small disk`) or a tool
 * (`slow disk` needs strace, `clock jump` libfaketime).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, open, readFile, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { ProcessRef } from '../../engine/contract.ts';
import { MAX_FAULT_MS, MAX_FILL_BYTES } from '../limits.ts';
import { inspectProcess, requireRef, run, signal, until } from '../processes.ts';
import type { FromGuardian, ToGuardian } from './guardian.ts';
import { perform, type Undo } from './undo.ts';

export class FaultError extends Error {
  override readonly name = 'FaultError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** A fault that is on. */
export interface Fault {
  readonly what: string;
  /** Takes it back now; resolves when it is gone. Safe to call twice. */
  end(): Promise<void>;
  /** Resolves when it is gone, by `end` or by its duration. */
  readonly ended: Promise<void>;
}

const FILL_CHUNK = 1024 * 1024;
const NO_FAKE_TIME = '+0';

export class Faults {
  /** Started with the first fault. */
  private guardian: ChildProcess | null = null;
  private readonly waiting = new Map<
    number,
    { armed: PromiseWithResolvers<void>; undone: PromiseWithResolvers<void>; undo: readonly Undo[] }
  >();
  private readonly on = new Set<Fault>();
  private nextId = 1;
  private alone = false;

  /** Ends every fault and the guardian. */
  async close(): Promise<void> {
    await Promise.all([...this.on].map((fault) => fault.end()));
    const { guardian } = this;
    if (guardian === null) return;
    const gone = new Promise<void>((resolve) => {
      if (guardian.exitCode !== null || guardian.signalCode !== null) resolve();
      else guardian.once('exit', () => resolve());
    });
    guardian.stdin?.end();
    await gone;
  }

  /** SIGKILL. The only fault that cannot be taken back. */
  async kill(ref: ProcessRef): Promise<void> {
    signal(ref, 'SIGKILL');
    await until(`process ${ref.pid} is gone`, () => inspectProcess(ref).state === 'gone');
  }

  /** SIGSTOP: the process is there, its sockets are open, nothing moves. */
  stop(ref: ProcessRef, ms: number): Promise<Fault> {
    return this.set(
      `stop ${ref.pid}`,
      ms,
      [{ kind: 'signal', process: ref, signal: 'SIGCONT' }],
      () => {
        if (!signal(ref, 'SIGSTOP')) throw new FaultError('process-gone', `no process ${ref.pid}`);
        return until('it is stopped', () => inspectProcess(ref).state !== 'running');
      },
    );
  }

  /** The address space may not grow beyond this: the next larger allocation fails. */
  async memoryLimit(ref: ProcessRef, bytes: number, ms: number): Promise<Fault> {
    const pid = String(ref.pid);
    const limits = await run('prlimit', ['--pid', pid, '--as', '--noheadings', '--output=SOFT']);
    const soft = limits.trim();
    const undo: Undo = { kind: 'limit', process: ref, resource: 'as', soft };
    return this.set(`memory limit ${ref.pid}`, ms, [undo], async () => {
      await run('prlimit', ['--pid', pid, `--as=${bytes}:`]);
    });
  }

  /** A small file system of its own; answers its folder. For tests of a full disk. */
  async smallDisk(bytes: number, ms: number): Promise<Fault & { readonly dir: string }> {
    if (process.getuid?.() !== 0) {
      throw new FaultError(
        'needs-mount',
        'a small file system needs the right to mount; run the test under: unshare --user --map-root-user --mount',
      );
    }
    const dir = await mkdtemp(path.join(tmpdir(), 'cinnabar-disk-'));
    const fault = await this.set(
      `disk of ${bytes} bytes`,
      ms,
      [{ kind: 'unmount', path: dir }],
      () =>
        run('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=0777`, 'cinnabar-small-disk', dir]),
    );
    return { ...fault, dir };
  }

  /** Fills the file system of `dir` to its last byte. Large ones are refused: others live there. */
  async fullDisk(dir: string, ms: number): Promise<Fault> {
    const facts = await statfs(dir);
    const size = facts.bsize * facts.blocks;
    if (size > MAX_FILL_BYTES) {
      throw new FaultError(
        'disk-too-large',
        `${dir} is on a file system of ${Math.round(size / 1e9)} GB that others use; give it a small one`,
      );
    }
    const ballast = path.join(dir, `.ballast-${process.pid}-${this.nextId}`);
    return this.set(`full disk ${dir}`, ms, [{ kind: 'remove', path: ballast }], () =>
      fill(ballast),
    );
  }

  /**
   * Each write or sync of the named files (all syncs and renames when none is named) takes this
   * much longer. By strace: the traced process also pays a little for its other system calls.
   */
  async slowDisk(
    ref: ProcessRef,
    options: { readonly delayMs: number; readonly files?: readonly string[] },
    ms: number,
    strace = 'strace',
  ): Promise<Fault> {
    const files = options.files ?? [];
    const syncs = 'fsync,fdatasync,sync_file_range,rename,renameat,renameat2,ftruncate';
    const calls = files.length > 0 ? `write,writev,pwrite64,${syncs}` : syncs;
    const tracer = spawn(
      strace,
      [
        ...['-f', '-q', '-o', '/dev/null', '-e', `trace=${calls}`],
        ...['-e', `inject=${calls}:delay_enter=${Math.round(options.delayMs * 1000)}`],
        ...files.flatMap((file) => ['-P', file]),
        ...['-p', String(ref.pid)],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'], detached: true },
    );
    let said = '';
    tracer.stderr.on('data', (data: Buffer) => {
      said += data.toString();
    });
    const failed = new Promise<never>((_, reject) => {
      tracer.once('error', (error: NodeJS.ErrnoException) => {
        const hint = error.code === 'ENOENT' ? '; install strace' : '';
        reject(new FaultError('needs-strace', `${strace} could not be started${hint}`));
      });
      tracer.once('exit', () => reject(new FaultError('strace-failed', said.trim())));
    });
    failed.catch(() => undefined); // After the attach its end is the end of the fault.
    const pid = tracer.pid;
    if (pid === undefined) return failed;
    const undo: Undo = { kind: 'end', process: requireRef(pid) };
    return this.set(`slow disk ${ref.pid}`, ms, [undo], () =>
      Promise.race([until('strace is attached', () => isTracedBy(ref.pid, pid)), failed]),
    );
  }

  /**
   * A clock that can jump, for processes that are started with `env`. Without the jump they see the
   * true time. Only the wall clock jumps: a monotonic clock never does.
   */
  async clock(library: string): Promise<JumpingClock> {
    const dir = await mkdtemp(path.join(tmpdir(), 'cinnabar-clock-'));
    const file = path.join(dir, 'offset');
    await writeFile(file, NO_FAKE_TIME);
    return {
      env: {
        LD_PRELOAD: library,
        FAKETIME_TIMESTAMP_FILE: file,
        FAKETIME_NO_CACHE: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      },
      dir,
      jump: (seconds, ms) =>
        this.set(
          `clock jump ${seconds} s`,
          ms,
          [{ kind: 'write', path: file, text: NO_FAKE_TIME }],
          () => writeFile(file, seconds < 0 ? String(seconds) : `+${seconds}`),
        ),
    };
  }

  private async set(
    what: string,
    ms: number,
    undo: readonly Undo[],
    apply: () => unknown,
  ): Promise<Fault> {
    if (!(ms > 0 && ms <= MAX_FAULT_MS)) {
      throw new FaultError('bad-duration', `${what}: ${ms} ms is not within 1 to ${MAX_FAULT_MS}`);
    }
    if (this.alone) throw guardianGone();
    const id = this.nextId;
    this.nextId += 1;
    const armed = Promise.withResolvers<void>();
    const undone = Promise.withResolvers<void>();
    undone.promise.catch(() => undefined); // Whoever awaits `end` or `ended` sees it.
    this.waiting.set(id, { armed, undone, undo });
    this.tell({ type: 'set', id, undo, ms });
    await armed.promise;
    const fault: Fault = {
      what,
      ended: undone.promise,
      end: async () => {
        this.tell({ type: 'end', id });
        await undone.promise;
      },
    };
    this.on.add(fault);
    undone.promise.finally(() => this.on.delete(fault)).catch(() => undefined);
    try {
      await apply();
    } catch (error) {
      await fault.end();
      throw error;
    }
    return fault;
  }

  private tell(message: ToGuardian): void {
    this.guardian ??= this.startGuardian();
    this.guardian.stdin?.write(`${JSON.stringify(message)}\n`);
  }

  private startGuardian(): ChildProcess {
    const extension = path.extname(import.meta.filename);
    const file = path.join(import.meta.dirname, `guardian${extension}`);
    const guardian = spawn(process.execPath, [file], {
      detached: true,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    guardian.unref();
    // Its end shows as 'exit'.
    guardian.stdin.on('error', () => undefined);
    createInterface({ input: guardian.stdout }).on('line', (line) => {
      this.hear(JSON.parse(line) as FromGuardian);
    });
    guardian.on('exit', () => void this.takeOver());
    return guardian;
  }

  private hear(message: FromGuardian): void {
    const entry = this.waiting.get(message.id);
    if (entry === undefined) return;
    if (message.type === 'armed') {
      entry.armed.resolve();
      return;
    }
    this.waiting.delete(message.id);
    if (message.error === undefined) entry.undone.resolve();
    else entry.undone.reject(new FaultError('undo-failed', message.error));
  }

  /** The guardian was killed: what it guarded is undone here and now. */
  private async takeOver(): Promise<void> {
    this.alone = true;
    for (const [id, entry] of this.waiting) {
      this.waiting.delete(id);
      entry.armed.reject(guardianGone());
      entry.armed.promise.catch(() => undefined);
      try {
        for (const step of entry.undo) await perform(step);
        entry.undone.resolve();
      } catch (error) {
        entry.undone.reject(error as Error);
      }
    }
  }
}

export interface JumpingClock {
  readonly env: Readonly<Record<string, string>>;
  readonly dir: string;
  jump(seconds: number, ms: number): Promise<Fault>;
}

function guardianGone(): FaultError {
  return new FaultError('guardian-gone', 'the guardian process ended; make a new Faults()');
}

async function fill(file: string): Promise<void> {
  const handle = await open(file, 'w');
  try {
    for (let size = FILL_CHUNK; size >= 1; size = Math.floor(size / 16)) {
      const zeros = Buffer.alloc(size);
      try {
        for (;;) await handle.write(zeros);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
    }
  } finally {
    await handle.close();
  }
}

async function isTracedBy(pid: number, tracer: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1');
  return new RegExp(`^TracerPid:\\s+${tracer}$`, 'm').test(status);
}
