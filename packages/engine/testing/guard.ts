/**
 * Ends what a test started, even when the test process itself is killed and can end nothing.
 *
 * A shell of a few lines holds the other end of a pipe. It is told each engine's pid and start
 * time; when the pipe closes, however that came about, it kills those that still run under both
 * numbers, removes the folder and ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { ProcessRef } from '../contract.ts';

const SCRIPT = `
all=
while read -r pid start; do all="$all $pid:$start"; done
for each in $all; do
  pid=\${each%:*}
  read -r line 2>/dev/null < /proc/$pid/stat || continue
  set -- \${line##*) }
  [ "\${20}" = "\${each#*:}" ] && kill -9 -$pid 2>/dev/null
done
rm -rf -- "$0"
`;

export class Guard {
  readonly #shell: ChildProcess;

  constructor(folder: string) {
    this.#shell = spawn('sh', ['-c', SCRIPT, folder], {
      stdio: ['pipe', 'ignore', 'ignore'],
      cwd: '/',
      detached: true,
    });
    this.#shell.unref();
    // The pipe must not keep a test alive that has nothing else to do.
    const { stdin } = this.#shell;
    if (stdin !== null && 'unref' in stdin && typeof stdin.unref === 'function') stdin.unref();
  }

  watch(process: ProcessRef): void {
    this.#shell.stdin?.write(`${process.pid} ${process.startTicks}\n`);
  }

  /** Resolves when everything is ended and the folder is removed. */
  release(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#shell.exitCode !== null) return resolve();
      this.#shell.ref();
      this.#shell.once('exit', () => resolve());
      this.#shell.stdin?.end();
    });
  }
}
