/**
 * `npm test`: finds or fetches an engine first (with progress, so that the first run does not look
 * hung), then runs every test file, several at a time, and fails if anything is left running.
 *
 * All tests of a run get one temporary folder of their own (TMPDIR), so what they started can be told
 * from anything else on the machine: it has that folder in its arguments, its working folder or its
 * environment.
 *
 * Arguments are passed on: `npm test -- packages/resp`, `npm test -- --test-name-pattern=slots`.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { filesUnder } from './files.ts';
import { type Lanes, reportOf, runFiles, summary } from './test-files.ts';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
/** The smallest machines that run this have two cores, and tests start real processes. */
const LANES: Lanes = { work: 2, all: 3 };
/** More failed files than this are no accident. */
const MOST_AGAIN = 4;
/** A test that takes longer than this hangs. */
const TEST_TIMEOUT_MS = 180_000;
/** Processes that were told to end may take this long to do so. */
const SETTLE_MS = 5_000;
const SETTLE_POLL_MS = 50;

// Short: unix socket paths have at most 107 bytes, and tests put them under here.
const scratch = path.join(tmpdir(), `ct${process.pid}`);

async function main(): Promise<number> {
  mkdirSync(scratch, { mode: 0o700 });
  try {
    const code = (await provision()) || (await runTests(process.argv.slice(2)));
    const left = await settled();
    for (const line of left) process.stderr.write(`left running by the tests: ${line}\n`);
    return left.length > 0 ? 1 : code;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function provision(): Promise<number> {
  return run([path.join(root, 'scripts/engine-for-tests.ts')], {});
}

function runTests(args: readonly string[]): Promise<number> {
  const places = args.filter((arg) => !arg.startsWith('-') && existsSync(path.resolve(root, arg)));
  const options = args.filter((arg) => !places.includes(arg));
  const all = (places.length > 0 ? places : ['packages', 'scripts', 'examples', 'docs'])
    .map((name) => path.resolve(root, name))
    .flatMap((name) => (name.endsWith('.ts') ? [name] : filesUnder(name)))
    .filter((name) => name.endsWith('.test.ts') && !name.includes('node_modules'));
  const files = [...new Set(all)];
  if (files.length === 0) {
    process.stderr.write('No test file there.\n');
    return Promise.resolve(1);
  }
  return runTwice(options, files);
}

/**
 * Tests start real processes, several files at a time on two cores; one that meets a deadline only when
 * it is alone says something about the machine. So files that failed are run once more, one at a
 * time, and named. Tests on fresh seeds are not: another seed would hide what this one found.
 */
async function runTwice(options: readonly string[], files: readonly string[]): Promise<number> {
  const { failed, stopped } = await runOnce(options, files, LANES);
  if (stopped) return 1;
  if (failed.length === 0) return 0;
  const again = failed.filter((file) => !/\/(?:simulation|fuzz)\//.test(file));
  if (options.length > 0 || again.length < failed.length || again.length > MOST_AGAIN) return 1;
  // A file that failed may have ended without its clean-up; that it failed is said already.
  for (const line of await settled()) {
    process.stderr.write(`left running by a file that failed, and ended now: ${line}\n`);
    try {
      process.kill(Number.parseInt(line, 10), 'SIGKILL');
    } catch {
      // It ended meanwhile.
    }
  }
  process.stdout.write(`\nOnce more, one at a time:\n  ${again.join('\n  ')}\n\n`);
  const second = await runOnce(options, again, { work: 1, all: 1 });
  if (second.stopped || second.failed.length > 0) return 1;
  process.stdout.write('\nThey failed beside others and passed alone.\n');
  return 0;
}

async function runOnce(
  options: readonly string[],
  files: readonly string[],
  lanes: Lanes,
): Promise<{ failed: string[]; stopped: boolean }> {
  const began = performance.now();
  const { ended, stopped } = await runFiles(
    root,
    files,
    [
      '--disable-warning=ExperimentalWarning',
      `--test-timeout=${TEST_TIMEOUT_MS}`,
      '--test-reporter=spec',
      ...options,
    ],
    // Most of a test process's start is the compiling of our own code, thousands of times the same.
    {
      ...process.env,
      TMPDIR: scratch,
      NODE_COMPILE_CACHE: path.join(root, 'node_modules/.cache/cinnabar-code'),
    },
    lanes,
    (end) => process.stdout.write(reportOf(root, end)),
  );
  process.stdout.write(summary(root, ended, performance.now() - began));
  return { failed: ended.filter(({ code }) => code !== 0).map(({ file }) => file), stopped };
}

function run(args: readonly string[], more: Record<string, string>): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const child = spawn(process.execPath, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...more },
  });
  child.once('error', reject);
  child.once('exit', (code) => resolve(code ?? 1));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  return promise;
}

async function settled(): Promise<string[]> {
  const deadline = Date.now() + SETTLE_MS;
  for (;;) {
    const left = ours();
    if (left.length === 0 || Date.now() > deadline) return left;
    await new Promise((resolve) => setTimeout(resolve, SETTLE_POLL_MS));
  }
}

/** `pid command` of every living process that names the folder of this run. */
function ours(): string[] {
  const found: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) continue;
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim();
      const where = readlinkSync(`/proc/${pid}/cwd`);
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
      if ([command, where, environment].some((text) => text.includes(scratch))) {
        found.push(`${pid} ${command}`);
      }
    } catch {
      // It ended meanwhile, or is another user's.
    }
  }
  return found;
}

process.exitCode = await main();
