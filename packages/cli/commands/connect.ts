/**
 * `cinnabar connect`: the engine's own command line, with the right address, CA and key. The key goes
 * by the environment, because arguments can be read by every user of the machine.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';
import { Command, Option } from 'commander';
import { noDatabase } from '../api/refusal.ts';
import type { Cache } from '../api/shapes.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { provide } from '../engines.ts';
import { CliError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { Replies } from '../output/replies.ts';
import { problemsOf } from './show.ts';

interface ConnectFlags {
  readonly key: 'Primary' | 'Secondary';
}

export function connectCommand(): Command {
  return new Command('connect')
    .summary('a prompt on a cache, or one command')
    .argument('<name>')
    .argument('[command...]', 'run this and leave; options for valkey-cli go after --')
    .addOption(
      new Option('--key <which>', 'log in with')
        .choices(['Primary', 'Secondary'])
        .default('Primary'),
    )
    .addHelpText(
      'after',
      `
Examples:
  cinnabar connect quickstart
  cinnabar connect quickstart SET greeting hello
  cinnabar connect quickstart -- --scan --pattern 'user:*'
The exit code is 1 when the cache answered an error to the command, or to one of those that
came through a pipe:
  cinnabar connect quickstart < commands.txt`,
    )
    .action(
      action(
        async (context: Context, name: string, words: readonly string[], flags: ConnectFlags) => {
          const api = context.api();
          const cache = await api.cache(name);
          if (cache.database === null) throw noDatabase(name);
          if (cache.database.properties.accessKeysAuthentication === 'Disabled') {
            throw new CliError(
              'refused',
              'nobody-can-log-in',
              `Access keys of '${name}' are off, so nobody can log in.`,
              `Turn them on: cinnabar update ${name} --access-keys on`,
            );
          }
          refuseUnreachable(cache);
          const keys = await api.keys(name);
          const engine = await provide({ cacheDir: context.folders.engineCache });
          const { cli } = engine.tools;
          if (cli === null) {
            throw new CliError(
              'failed',
              'no-valkey-cli',
              `The engine in use (${engine.server.file}) came without ${engine.build.name}-cli.`,
              "Install it beside the server, or fetch Debian's: cinnabar engine install --refresh",
            );
          }
          const args = [
            ...cli.argsBefore,
            ...cliArguments(cache, api.control.caFile),
            // A script must see that the one command was answered with an error.
            ...(words.length === 0 ? [] : ['-e']),
            ...words,
          ];
          const key = flags.key === 'Primary' ? keys.primaryKey : keys.secondaryKey;
          const env = { ...process.env, REDISCLI_AUTH: key, VALKEYCLI_AUTH: key };
          const piped = words.length === 0 && process.stdin.isTTY !== true;
          process.exitCode = piped
            ? await runPiped(cli.file, args, env)
            : await run(cli.file, args, env);
        },
      ),
    );
}

/** Somebody else listens there: the key would be told to them. */
function refuseUnreachable(cache: Cache): void {
  const problem = problemsOf(cache).find(({ code }) => code === 'unreachable');
  if (problem === undefined) return;
  throw new CliError(
    'failed',
    'unreachable',
    `Another process holds the port of '${cache.cluster.name}', and would be told its key. ${problem.message}`,
    `Then: cinnabar connect ${cache.cluster.name}`,
  );
}

function cliArguments(cache: Cache, caFile: string): string[] {
  const { cluster, database } = cache;
  if (database === null) return [];
  const { port, clientProtocol, clusteringPolicy } = database.properties;
  const name = cluster.properties.hostName;
  return [
    '-h',
    // Always listened on, while a name under --domain need not resolve on this machine.
    '127.0.0.1',
    '-p',
    String(port),
    ...(clientProtocol === 'Plaintext' ? [] : ['--tls', '--cacert', caFile, '--sni', name]),
    ...(clusteringPolicy === 'OSSCluster' ? ['-c'] : []),
  ];
}

/** Commands from a pipe: the engine's tool says nothing of those that failed. */
async function runPiped(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const mark = `\n${randomBytes(16).toString('hex')}\n`;
  const replies = new Replies(mark);
  const code = await run(file, [...args, '--raw', '-D', mark], env, (stdout) => {
    stdout.on('data', (chunk: Buffer) => {
      if (!process.stdout.write(replies.take(chunk))) {
        stdout.pause();
        process.stdout.once('drain', () => stdout.resume());
      }
    });
    stdout.once('end', () => process.stdout.write(replies.end()));
  });
  return code === EXIT.ok && replies.failed > 0 ? EXIT.failed : code;
}

/** In the same process group, so that Ctrl-C reaches the prompt; we only wait. */
function run(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  onOutput?: (stdout: Readable) => void,
): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const stdout = onOutput === undefined ? 'inherit' : 'pipe';
  const child = spawn(file, args, { stdio: ['inherit', stdout, 'inherit'], env });
  if (child.stdout !== null) onOutput?.(child.stdout);
  const ignore = (): void => {};
  process.on('SIGINT', ignore);
  const end = (): void => {
    child.kill('SIGTERM');
  };
  process.on('SIGTERM', end);
  process.on('SIGHUP', end);
  child.once('error', (error) => reject(error));
  // All that it printed is read.
  child.once('close', (code) => {
    process.off('SIGINT', ignore);
    process.off('SIGTERM', end);
    process.off('SIGHUP', end);
    resolve(code ?? EXIT.failed);
  });
  return promise;
}
