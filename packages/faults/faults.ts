/**
 * Faults on processes, disks and clocks: each with a duration, each undone at its end, also when
 * the process that set it is killed (see `guardian.ts`). Faults on connections: `network.ts`.
 *
 * What a fault needs is said by its error: some need the right to mount (`small disk`) or a tool
 * (`slow disk` and `disk error` need strace, `clock jump` libfaketime).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, open, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { ProcessRef } from '../engine/contract.ts';
import type { Program } from '../engine/index.ts';
import { FaultError } from './errors.ts';
import type { FromGuardian, ToGuardian } from './guardian.ts';
import { MAX_FAULT_MS, MAX_FILL_BYTES } from './limits.ts';
import { inspectProcess, run, signal, until } from './processes.ts';
import { type DiskEffect, STRACE, startTracer } from './tracer.ts';
import { perform, softLimit, type Undo } from './undo.ts';

/** A fault that is on. */
export interface Fault {
  readonly what: string;
  /** Takes it back now; resolves when it is gone. Safe to call twice. */
  end(): Promise<void>;
  /** Resolves when it is gone, by `end` or by its duration. */
  readonly ended: Promise<void>;
}

const FILL_CHUNK = 1024 * 1024;
/** What the file of a clock holds while it tells the true time. */
export const NO_FAKE_TIME = '+0';

export class Faults {
  /** Started with the first fault. */
  private guardian: ChildProcess | null = null;
  private readonly waiting = new Map<
    number,
    {
      what: string;
      armed: PromiseWithResolvers<void>;
      undone: PromiseWithResolvers<void>;
      undo: readonly Undo[];
    }
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
    // It kept nobody from ending; its own end is waited for.
    guardian.ref();
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
      `stop of process ${ref.pid}`,
      ms,
      [{ kind: 'signal', process: ref, signal: 'SIGCONT' }],
      (isOver) => {
        if (!signal(ref, 'SIGSTOP')) throw new FaultError('process-gone', `no process ${ref.pid}`);
        // A short stop may be over before it was seen.
        return until('it is stopped', () => isOver() || inspectProcess(ref).state !== 'running');
      },
      claimOn('stop', ref),
    );
  }

  /** The address space may not grow beyond `bytes`: the next larger allocation fails. */
  async memoryLimit(ref: ProcessRef, bytes: number, ms: number): Promise<Fault> {
    const was = await softLimit(ref, 'as').catch((error: Error) => {
      throw new FaultError('needs-prlimit', `prlimit (package util-linux): ${error.message}`);
    });
    const undo: Undo = { kind: 'limit', process: ref, resource: 'as', soft: was, set: bytes };
    return this.set(
      `memory limit of process ${ref.pid}`,
      ms,
      [undo],
      async () => {
        // Another fault may have ended since: then `was` was its doing.
        if ((await softLimit(ref, 'as')) !== was)
          throw alreadyOn(`memory limit of process ${ref.pid}`);
        await run('prlimit', ['--pid', String(ref.pid), `--as=${bytes}:`]);
      },
      claimOn('memory', ref),
    );
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
   * The disk as this process finds it, on whatever file system: syncs and renames (writes too, of the
   * named files) are late, or fail. By strace: the traced process also pays a little for its other
   * system calls.
   */
  async disk(
    ref: ProcessRef,
    effect: DiskEffect,
    ms: number,
    options: { readonly files?: readonly string[]; readonly strace?: Program } = {},
  ): Promise<Fault> {
    const tracer = await startTracer(ref, effect, options.files ?? [], options.strace ?? STRACE);
    const what = 'delayMs' in effect ? 'slow disk' : `disk that answers ${effect.error}`;
    const undo: Undo = { kind: 'end', process: tracer.process };
    tracer.attached.catch(() => undefined); // It is not asked when the fault is refused before.
    try {
      const apply = (): Promise<void> => tracer.attached;
      return await this.set(
        `${what} for process ${ref.pid}`,
        ms,
        [undo],
        apply,
        claimOn('disk', ref),
      );
    } catch (error) {
      await perform(undo);
      throw error;
    }
  }

  /**
   * A clock that can jump, for processes that are started with `env`. Without the jump they see the
   * true time. Only the wall clock jumps: a monotonic clock never does.
   */
  async clock(library: string): Promise<Clock> {
    const dir = await mkdtemp(path.join(tmpdir(), 'cinnabar-clock-'));
    const file = path.join(dir, 'offset');
    await writeFile(file, NO_FAKE_TIME);
    return { env: clockEnvironment(library, file), dir, file };
  }

  /** All processes that were started with this clock (see `clock`) see the jump. */
  jump(file: string, seconds: number, ms: number): Promise<Fault> {
    return this.set(
      `clock jump ${seconds} s`,
      ms,
      [{ kind: 'write', path: file, text: NO_FAKE_TIME }],
      () => writeFile(file, seconds < 0 ? String(seconds) : `+${seconds}`),
      `clock:${file}`,
    );
  }

  /** The clock that this process was started with; throws FaultError when its clock cannot jump. */
  static clockOf(ref: ProcessRef): string {
    const environment = readFileSync(`/proc/${ref.pid}/environ`, 'latin1').split('\0');
    const entry = environment.find((line) => line.startsWith(`${CLOCK_VARIABLE}=`));
    if (entry !== undefined) return entry.slice(CLOCK_VARIABLE.length + 1);
    throw new FaultError(
      'needs-faketime',
      `the clock of process ${ref.pid} cannot jump: it was not started with libfaketime`,
    );
  }

  /**
   * For kinds of faults that are defined elsewhere. `undo` is what takes it back, as data; it is with
   * the guardian before `apply` is called. `claim`: what no other fault may be on meanwhile.
   */
  async set(
    what: string,
    ms: number,
    undo: readonly Undo[],
    apply: (isOver: () => boolean) => unknown,
    claim: string | null = null,
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
    this.waiting.set(id, { what, armed, undone, undo });
    this.tell({ type: 'set', id, undo, ms, claim });
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
    let over = false;
    undone.promise
      .finally(() => {
        over = true;
        this.on.delete(fault);
      })
      .catch(() => undefined);
    try {
      await apply(() => over);
    } catch (error) {
      // What was never set may refuse to be taken back: why it was not set is what counts.
      await fault.end().catch(() => undefined);
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
    if (message.type === 'taken') entry.armed.reject(alreadyOn(entry.what));
    else if (message.error === undefined) entry.undone.resolve();
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

export interface Clock {
  /** What a process needs in its environment so that its clock can jump. */
  readonly env: Readonly<Record<string, string>>;
  readonly dir: string;
  /** Holds how far it is off. */
  readonly file: string;
}

const CLOCK_VARIABLE = 'FAKETIME_TIMESTAMP_FILE';

export function clockEnvironment(library: string, file: string): Record<string, string> {
  return {
    LD_PRELOAD: library,
    [CLOCK_VARIABLE]: file,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  };
}

function claimOn(what: string, { pid, startTicks }: ProcessRef): string {
  return `${what}:${pid}:${startTicks}`;
}

function alreadyOn(what: string): FaultError {
  return new FaultError('already-on', `${what}: another fault of this kind is on there`);
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
