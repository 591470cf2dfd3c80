/** The command line as a whole: every command, its help, its mistakes; without a running Cinnabar. */
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import type { Command } from 'commander';
import { lockFolder } from '../control/store/open.ts';
import { pathOf } from './context.ts';
import { EXIT } from './exit-codes.ts';
import { foldersFrom } from './folders.ts';
import { Output } from './output/output.ts';
import { buildProgram } from './program.ts';
import { moduleFile, packageRoot } from './self.ts';

const scratch = mkdtempSync(path.join(tmpdir(), 'cli-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const env = {
  PATH: process.env['PATH'],
  HOME: scratch,
  CINNABAR_HOME: path.join(scratch, 'home'),
  XDG_RUNTIME_DIR: path.join(scratch, 'run'),
  NO_COLOR: '1',
  NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
};

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function cinnabar(args: readonly string[], more: Record<string, string> = {}): Promise<Ran> {
  const { promise, resolve } = Promise.withResolvers<Ran>();
  execFile(
    process.execPath,
    [moduleFile('cli/main'), ...args],
    { env: { ...env, ...more } },
    (error, out, err) => resolve({ code: error === null ? 0 : Number(error.code), out, err }),
  );
  return promise;
}

const silent = { write: () => true };
const tree = buildProgram(new Output(silent, silent, {}, false));

function all(command: Command): Command[] {
  return [command, ...command.commands.flatMap(all)];
}

test('every command has a summary, and every leaf that a user types has an example in its help', () => {
  for (const command of all(tree).slice(1)) {
    assert.notEqual(command.summary(), '', pathOf(command));
  }
  const leaves = all(tree).filter(
    (c) => c.commands.length === 0 && pathOf(c).split(' ').length === 2,
  );
  for (const command of leaves) {
    let help = '';
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
    assert.match(help, /Examples:\n {2}(sudo )?cinnabar /, pathOf(command));
    assert.match(
      help,
      /^Usage: [^\n]+\n\n[A-Z'][^:]/,
      `${pathOf(command)}: what it does comes first`,
    );
    for (const line of help.split('\n'))
      assert.ok(line.length <= 100, `${pathOf(command)}: ${line}`);
  }
});

test('examples in the help name commands and options that exist', () => {
  for (const command of all(tree)) {
    let help = '';
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
    for (const [, words = ''] of help.matchAll(/^ {2}(?:sudo )?cinnabar ([^\n#>|]+)/gm)) {
      const parts = words.trim().split(/\s+/);
      let at: Command = tree;
      for (const part of parts) {
        const child = at.commands.find((c) => c.name() === part);
        if (child === undefined) break;
        at = child;
      }
      assert.notEqual(at, tree, words);
      const ending = parts.indexOf('--');
      for (const part of ending < 0 ? parts : parts.slice(0, ending)) {
        if (!part.startsWith('-')) continue;
        const known = [...at.options, ...tree.options].some(
          (o) => o.long === part || o.short === part,
        );
        assert.ok(known, `${words}: ${part}`);
      }
    }
  }
});

test('mistakes on the command line are refused with code 2, and nothing is made', async () => {
  const mistakes = [
    ['no-such-command'],
    ['list', '--no-such-option'],
    ['list', 'extra'],
    ['create'],
    ['create', 'x', '--policy', 'Wrong'],
    ['up', '--api-port', '70000'],
    ['up', '--listen', 'example.org'],
    ['up', '--domain', 'not a domain'],
    ['up', '--miniature', '0'],
    ['up', '--engine', '/no/such/file'],
    ['keys', 'regenerate', 'x'],
    ['keys', 'regenerate', 'x', '--key', 'Third'],
    ['completion', 'tcsh'],
    ['certificate', 'set', 'x', '--cert', '/no/such/file', '--key', '/no/such/file'],
    ['update', 'x', '--shards', '3'],
    ['log\n\u202es'],
  ];
  const all = await Promise.all(mistakes.map((args) => cinnabar(args)));
  for (const [i, { code, err, out }] of all.entries()) {
    const args = mistakes[i] ?? [];
    assert.equal(code, EXIT.usage, `${args.join(' ')}: ${err}`);
    assert.equal(out, '');
    assert.match(err, /^error: .+ \([a-z-]+\)\n {2}\S/, args.join(' '));
  }
  assert.match(all[5]?.err ?? '', /to 65535\. \(bad-option\)\n {2}See: cinnabar up --help\n/);
  assert.match(all[12]?.err ?? '', /^error: 'tcsh' is no <shell> of this command\. Allowed .*zsh/);
  assert.match(all.at(-2)?.err ?? '', /follows from its SKU: --sku, see: cinnabar sku list\./);
  assert.match(
    all.at(-1)?.err ?? '',
    /^error: unknown command 'log\ufffd\ufffds' \(bad-usage\)\n {2}Did you mean logs\? See: cinnabar --help\n$/,
  );
  assert.throws(() => readFileSync(path.join(scratch, 'home')), /ENOENT/);
});

test('what other tools call it is known: stop is down, and not show', async () => {
  const [stop, start] = await Promise.all([cinnabar(['stop']), cinnabar(['start'])]);
  assert.match(stop.err, /'stop' \(bad-usage\)\n {2}Did you mean down\? See: cinnabar --help\n$/);
  assert.match(start.err, /Did you mean up\?/);
});

test('words that are chosen from a list may be written in small letters', async () => {
  const words = ['--policy', 'osscluster', '--eviction', 'allkeyslru'];
  const { code, err } = await cinnabar(['create', 'x', ...words]);
  assert.equal(code, EXIT.notRunning, err);
  const update = tree.commands.find((command) => command.name() === 'update');
  const policy = update?.options.find((option) => option.long === '--policy');
  assert.equal(policy?.parseArg?.('osscluster', undefined), 'OSSCluster');
  assert.throws(() => policy?.parseArg?.('cluster', undefined), /Allowed choices are OSSCluster/);
});

test('without a running Cinnabar: code 6, and what to type', async () => {
  const commands = [
    ['list'],
    ['show', 'x'],
    ['status'],
    ['create', 'x'],
    ['events'],
    ['sku', 'list'],
  ];
  for (const { code, err } of await Promise.all(commands.map((args) => cinnabar(args)))) {
    assert.equal(code, EXIT.notRunning);
    assert.match(err, /Start it: cinnabar up/);
  }
  const json = await cinnabar(['list', '--json']);
  assert.equal(JSON.parse(json.err).error.code, 'not-running');
});

test('help of a command of a command', async () => {
  const { code, out } = await cinnabar(['help', 'keys', 'list']);
  assert.deepEqual([code, out], [0, (await cinnabar(['keys', 'list', '--help'])).out]);
  assert.match(
    (await cinnabar(['help', 'keys'])).out,
    /^Usage: cinnabar keys \[options\] \[command\]/,
  );
});

test('under npx the help and the advice say npx', async () => {
  const byNpx = { npm_lifecycle_event: 'npx' };
  const help = await cinnabar(['sku', 'list', '--help'], byNpx);
  assert.match(help.out, /^Usage: npx cinnabar sku list/);
  assert.match(help.out, /\n {2}npx cinnabar sku list --for sessions\n/);
  assert.match((await cinnabar(['list'], byNpx)).err, /Start it: npx cinnabar up/);
  const script = await cinnabar(['completion', 'bash'], byNpx);
  assert.equal(script.out, (await cinnabar(['completion', 'bash'])).out);
});

test('a dead control process is told from a running one', async () => {
  const home = path.join(scratch, 'dead');
  mkdirSync(home, { mode: 0o700 });
  const gone = spawnSync('true').pid;
  writeFileSync(
    path.join(home, 'control.json'),
    JSON.stringify({
      pid: gone,
      http: 'http://127.0.0.1:1',
      https: null,
      build: 'x',
      caFile: '/none',
      subscriptionId: 's',
    }),
    { mode: 0o600 },
  );
  writeFileSync(path.join(home, 'api-token'), 'secret', { mode: 0o600 });
  const list = await cinnabar(['list', '--home', home]);
  assert.equal(list.code, EXIT.notRunning);
  assert.doesNotMatch(list.err, /secret/);
  const down = await cinnabar(['down', '--home', home]);
  assert.equal(down.code, 0);
  assert.match(down.err, /Nothing runs here/);
});

test('while a start is under way on the folder, code 75 says to try again', async (t) => {
  const home = path.join(scratch, 'starting');
  mkdirSync(home, { mode: 0o700 });
  // A control process that has not been told to start yet.
  const control = spawn(process.execPath, [moduleFile('control/boot/run')], {
    cwd: home,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  t.after(() => control.kill('SIGKILL'));
  const lock = lockFolder(home);
  t.after(() => lock.release());
  for (const args of [['status'], ['list'], ['up', '--api-port', '0', '--https-port', '0']]) {
    const { code, err } = await cinnabar([...args, '--home', home]);
    assert.equal(code, EXIT.underWay, err);
    assert.match(err, /\(start-under-way\)/);
    assert.match(err, /Wait for it: .*cinnabar status/);
  }
  const doctor = await cinnabar(['doctor', '--home', home]);
  assert.match(doctor.out, /a start or stop is under way/);
  assert.doesNotMatch(doctor.out, /without a control process|by another program/);
});

test('doctor finds an open data folder and says the command', async () => {
  const home = path.join(scratch, 'open');
  mkdirSync(home);
  execFileSync('chmod', ['755', home]);
  const { code, out } = await cinnabar(['doctor', '--json', '--home', home]);
  const findings = JSON.parse(out) as { id: string; state: string; remedy?: string }[];
  const finding = findings.find((f) => f.id === 'home');
  assert.deepEqual([finding?.state, finding?.remedy], ['fail', `Type: chmod 700 '${home}'`]);
  assert.equal(code, EXIT.unhealthy);
  for (const f of findings) assert.ok(f.state === 'ok' || (f.remedy ?? '') !== '', f.id);
});

test('uninstall shows all folders, asks, and removes them', async () => {
  const home = path.join(scratch, 'leaving');
  mkdirSync(path.join(home, 'caches'), { recursive: true });
  const more = {
    XDG_CACHE_HOME: path.join(scratch, 'cache'),
    XDG_RUNTIME_DIR: path.join(scratch, 'empty'),
  };
  for (const folder of ['cache/cinnabar/engines', 'empty/cinnabar']) {
    mkdirSync(path.join(scratch, folder), { recursive: true });
  }
  const refused = await cinnabar(['uninstall', '--home', home], more);
  assert.equal(refused.code, EXIT.usage);
  assert.match(refused.out, /engines .*cache\/cinnabar\/engines/);
  const done = await cinnabar(['uninstall', '--yes', '--home', home], more);
  assert.equal(done.code, 0, done.err);
  assert.throws(() => readFileSync(home), /ENOENT/);
  for (const folder of ['cache/cinnabar', 'empty/cinnabar']) {
    assert.throws(() => readdirSync(path.join(scratch, folder)), /ENOENT/);
  }
});

test('service install prints a unit that systemd accepts, and writes it once', async () => {
  const { out } = await cinnabar(['service', 'install', '--print', '--listen', '10.0.0.1']);
  assert.match(out, /^ExecStart=\S+node \S+ \S+main\.ts up --listen 10\.0\.0\.1$/m);
  assert.match(out, /^KillMode=process$/m);
  const config = { XDG_CONFIG_HOME: path.join(scratch, 'config') };
  assert.equal((await cinnabar(['service', 'install'], config)).code, 0);
  assert.equal((await cinnabar(['service', 'install'], config)).code, 0);
  const differs = await cinnabar(['service', 'install', '--domain', 'example.org'], config);
  assert.equal(differs.code, EXIT.conflict);
  assert.equal((await cinnabar(['service', 'remove'], config)).code, 0);
});

test('the table of exit codes in the docs is the one in the code', () => {
  const text = readFileSync(path.join(packageRoot(), 'docs/exit-codes.md'), 'utf8');
  const written = [...text.matchAll(/^\| (\d+) +\| `(\w+)` +\|/gm)].map(([, code, name]) => [
    name,
    Number(code),
  ]);
  assert.deepEqual(Object.fromEntries(written), EXIT);
});

test('a folder that cannot be made is an error that says so', async () => {
  writeFileSync(path.join(scratch, 'file'), '');
  for (const home of [path.join(scratch, 'file/x'), '/proc/x/y', `${scratch}/${'a'.repeat(300)}`]) {
    const { code, err } = await cinnabar(['up', '--home', home]);
    assert.notEqual(code, 0);
    assert.match(err, /^error: Cannot make the folder .+ \([A-Z]+\)\n {2}\S/, home);
  }
});

test('folders: XDG, options and their order', () => {
  const at = (vars: NodeJS.ProcessEnv, home?: string) =>
    foldersFrom({ HOME: '/home/u', ...vars }, home);
  assert.equal(at({}).home, '/home/u/.local/share/cinnabar');
  assert.equal(at({ XDG_DATA_HOME: '/d' }).home, '/d/cinnabar');
  assert.equal(at({ XDG_DATA_HOME: 'relative' }).home, '/home/u/.local/share/cinnabar');
  assert.equal(at({ CINNABAR_HOME: '/c', XDG_DATA_HOME: '/d' }).home, '/c');
  assert.equal(at({ CINNABAR_HOME: '/c' }, '/o').home, '/o');
  assert.equal(at({ XDG_CACHE_HOME: '/x' }).engineCache, '/x/cinnabar/engines');
  assert.match(
    at({ XDG_RUNTIME_DIR: '/run/user/1' }).runDir,
    /^\/run\/user\/1\/cinnabar\/[0-9a-f]{8}$/,
  );
  assert.match(at({}).runDir, /^\/tmp\/cinnabar-\d+\/[0-9a-f]{8}$/);
  assert.notEqual(at({}, '/a').runDir, at({}, '/b').runDir);
});
