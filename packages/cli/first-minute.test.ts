/** The first minute of a new user, against the real control process and engine. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { Redis } from 'ioredis';
import { filesUnder } from '../../scripts/files.ts';
import { script } from './completion/script.ts';
import { completions, installed } from './completion/testing.ts';
import { EXIT } from './exit-codes.ts';
import { foldersFrom } from './folders.ts';
import { isAlive, processesOf } from './orphans.ts';
import { Output } from './output/output.ts';
import { buildProgram } from './program.ts';
import { moduleFile, packageRoot } from './self.ts';
import { Rig, until } from './testing/rig.ts';

const rig = new Rig();
after(() => rig.clean());

/** Arguments and environments of all processes of this user. */
function processLists(): string {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/cmdline`, 'latin1') +
          readFileSync(`/proc/${pid}/environ`, 'latin1')
        );
      } catch {
        return '';
      }
    })
    .join('\n');
}

function client(url: string): Redis {
  return new Redis(url, {
    tls: { ca: readFileSync(rig.control().caFile) },
    maxRetriesPerRequest: 1,
  });
}

/** What a terminal of 80 columns shows. */
function onTerminal(args: string): string {
  const command = `stty cols 80; exec ${process.execPath} ${moduleFile('cli/main')} ${args}`;
  return execFileSync('script', ['-qec', command, '/dev/null'], { env: rig.env }).toString();
}

test('the first minute', async (t) => {
  const first = rig.up('--quickstart');
  await first.says('Ctrl-C stops it.');
  const url = first.out.trim().split('\n')[0] ?? '';
  const key = decodeURIComponent(new URL(url).password);

  await t.test('shows steps, and on standard output a connection string that works', async () => {
    assert.match(first.err, /✓ Engine +(valkey|redis) \d/);
    assert.match(first.err, /✓ Management API +http:\/\/127\.0\.0\.1:\d+/);
    assert.match(url, /^rediss:\/\/default:[\w%]+@localhost:\d+$/);
    assert.ok(!first.err.includes('\u001b') && !first.err.includes('\r'));
    const redis = client(url);
    assert.equal(await redis.set('greeting', 'hello'), 'OK');
    redis.disconnect();
  });

  await t.test('the key is in no log, process list, status or store', async () => {
    const encoded = new URL(url).password;
    const seen = processLists();
    assert.ok(!seen.includes(key) && !seen.includes(encoded), 'in a process list');
    assert.match((await rig.run('status')).out, /^API token +\/.*\/api-token$/m, 'where, not what');
    const status = await rig.run('status', '--json');
    const { version, build } = JSON.parse(status.out);
    const said = (await rig.run('--version')).out;
    assert.ok(said.startsWith(`cinnabar ${version} (build ${build})\n`), said);
    assert.ok(!status.out.includes(key) && !status.out.includes(encoded), 'in the status');
    for (const file of filesUnder(rig.scratch)) {
      const text = readFileSync(file, 'latin1');
      assert.ok(!text.includes(key) && !text.includes(encoded), file);
    }
    assert.equal(statSync(path.join(rig.home, 'api-token')).mode & 0o777, 0o600);
    assert.equal(statSync(path.join(rig.home, 'control.json')).mode & 0o777, 0o600);
    assert.equal(statSync(rig.home).mode & 0o777, 0o700);
  });

  await t.test('the tables fit 80 columns, and --json has the same things', async () => {
    for (const args of ['list', 'show quickstart', 'status', 'operations', 'events', 'sku list']) {
      const lines = onTerminal(args).split('\n');
      assert.ok(lines.length > 2, args);
      assert.deepEqual(
        lines.filter((line) => line.trimEnd().length > 80),
        [],
        args,
      );
    }
    const [row] =
      await rig.json<{ name: string; state: string; policy: string; sku: string }[]>('list');
    assert.deepEqual(
      [row?.name, row?.state, row?.policy, row?.sku],
      ['quickstart', 'Running', 'EnterpriseCluster', 'Balanced_B1'],
    );
    const skus = await rig.json<unknown[]>('sku', 'list');
    assert.ok(skus.length >= 44);
    const targets = await rig.run('sku', 'list', '--for', 'quickstart');
    assert.match(targets.out, /\nBalanced_B0 .* yes\nBalanced_B1 .* current\nBalanced_B3 /);
    const certificate = await rig.run('certificate', 'show', 'quickstart');
    assert.match(certificate.out, /^Expires +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/m);
    const logs = await rig.run('logs', 'quickstart', '-n', '1');
    const headings = logs.out.match(/^==> shard 0, (?:primary|replica): \/.*engine\.log <==$/gm);
    assert.equal(headings?.length, 2, logs.out);
  });

  await t.test('--no-wait --json prints the operation, and nothing else', async () => {
    for (const args of [
      ['update', 'quickstart', '--eviction', 'AllKeysLRU'],
      ['failover', 'quickstart'],
    ]) {
      const { id, kind } = await rig.json<{ id: string; kind: string }>(...args, '--no-wait');
      assert.ok(kind.length > 0, args.join(' '));
      const ended = await rig.run('operations', 'show', id);
      assert.equal(ended.code, 0, ended.err);
      const shown = await rig.run('operations', 'show', id, '--no-wait');
      assert.match(shown.out, /^STEP +STATE +TOOK +HOW FAR\n\S.* done +[\d.]+ m?s/m);
    }
  });

  await t.test('connect runs one command, and valkey-cli exits as it says', async () => {
    const { out, code } = await rig.run('connect', 'quickstart', 'GET', 'greeting');
    assert.deepEqual([out.trim(), code], ['hello', 0]);
    const wrong = await rig.run('connect', 'quickstart', 'NOSUCHCMD');
    assert.deepEqual([wrong.code, wrong.out.trim()], [EXIT.failed, ''], wrong.err);
    assert.match(wrong.err, /unknown command/);
    const { stdout, status } = spawnSync(
      process.execPath,
      [moduleFile('cli/main'), 'connect', 'quickstart'],
      { env: rig.env, input: 'SET piped 1\nNOSUCHCMD\nGET piped\n', encoding: 'utf8' },
    );
    assert.match(stdout, /^OK\nERR unknown command 'NOSUCHCMD'.*\n\n1\n$/);
    assert.equal(status, EXIT.failed);
  });

  await t.test('names of caches are completed', () => {
    const bin = path.join(rig.scratch, 'bin');
    mkdirSync(bin);
    symlinkSync(path.join(packageRoot(), 'bin/cinnabar'), path.join(bin, 'cinnabar'));
    const node = path.dirname(process.execPath);
    const env = { ...rig.env, PATH: `${bin}:${node}:${rig.env['PATH']}`, TERM: 'dumb' };
    for (const shell of ['bash', 'zsh', 'fish'] as const) {
      if (!installed(shell)) continue;
      const tree = buildProgram(new Output(process.stdout, process.stderr, env, false));
      const offered = completions(shell, script(shell, tree), 'cinnabar show quicks', env);
      assert.match(offered[0] ?? '', /quickstart$/, shell);
      const size = completions(
        shell,
        script(shell, tree),
        'cinnabar update quickstart --sku Balanced_B7',
        env,
      );
      assert.match(size[0] ?? '', /Balanced_B700$/, shell);
    }
  });

  await t.test('create, update, keys, delete; each mistake has its code', async () => {
    const made = await rig.run(
      'create',
      'jobs',
      '--sku',
      'Balanced_B0',
      '--policy',
      'NoCluster',
      '--ha',
      'off',
    );
    assert.equal(made.code, 0, made.err);
    assert.match(made.out, /^Policy +NoCluster$/m);
    assert.equal((await rig.run('create', 'jobs')).code, EXIT.conflict);
    assert.equal((await rig.run('create', 'odd', '--sku', 'Balanced_B77')).code, EXIT.refused);
    assert.equal(
      (await rig.run('create', 'flash', '--sku', 'FlashOptimized_A250')).code,
      EXIT.unsupported,
    );
    const large = await rig.run('create', 'l', '--policy', 'NoCluster', '--sku', 'Balanced_B100');
    assert.equal(large.code, EXIT.refused, large.err);
    assert.match(large.err, /at most 25 GB.*\(SkuNotAllowedForPolicy\)/);
    // Refused at its database, after its cluster was made: the name is free again.
    const plain = await rig.run('create', 'plain', '--port', '80');
    assert.equal(plain.code, EXIT.refused, plain.err);
    const taken = await rig.run('create', 'plain', '--port', new URL(url).port);
    assert.equal(taken.code, EXIT.conflict, taken.err);
    assert.match(taken.err, /\(PortInUse\)/);
    const made_ = await rig.run('create', 'plain', '--policy', 'NoCluster', '--ha', 'off');
    assert.equal(made_.code, 0, made_.err);
    assert.match((await rig.run('flush', 'plain', '--yes')).err, /^Removed all keys of 'plain'/m);
    assert.equal((await rig.run('delete', 'plain', '--yes')).code, 0);
    const about = await rig.json<{ cluster: string }[]>('events', 'jobs');
    assert.deepEqual([...new Set(about.map((event) => event.cluster))], ['jobs']);
    assert.equal((await rig.run('events', 'nobody')).code, EXIT.notFound);
    const later = await rig.run('update', 'jobs', '--eviction', 'AllKeysLRU', '--no-wait');
    assert.deepEqual([later.code, later.err], [0, '']);
    const [, id = ''] = /operations show (\S+)\n$/.exec(later.out) ?? [];
    assert.equal((await rig.run('operations', 'show', id)).code, 0);
    const unknown = await rig.run('show', 'nobody');
    assert.deepEqual(
      [unknown.code, unknown.err],
      [
        EXIT.notFound,
        "error: There is no cache named 'nobody'. (no-such-cache)\n  See what there is: cinnabar list\n",
      ],
    );
    assert.match((await rig.run('stats', 'nobody')).err, /no cache named 'nobody'.*no-such-cache/);
    assert.match((await rig.run('operations', 'show', '123')).err, /\n {2}.*cinnabar operations\n/);
    assert.equal((await rig.run('update', 'jobs')).code, EXIT.usage);
    const day = await rig.run('update', 'jobs', '--window', 'Someday 2 9');
    assert.match(day.err, /'Someday' is not a day of the week/);
    const hours = await rig.run('update', 'jobs', '--window', 'Monday');
    assert.match(hours.err, /'Monday' is not a day, an hour and .*\n {2}For example: --window/);
    const notify = await rig.run('update', 'jobs', '--notify', 'q');
    assert.equal(notify.code, EXIT.refused, notify.err);
    assert.match(notify.err, /\n {2}See: cinnabar update --help\n/);
    assert.match((await rig.run('clients', 'jobs', 'kill', '99')).err, /: cinnabar clients jobs\n/);
    const skip = await rig.run('maintain', 'jobs', '--skip');
    assert.match(skip.err, /\n {2}.*cinnabar maintain --list\n/);
    // Refused for one half: the other is not done either.
    const half = await rig.run('update', 'jobs', '--sku', 'Balanced_B1', '--policy', 'OSSCluster');
    assert.equal(half.code, EXIT.unsupported, half.err);
    const still = await rig.json<{ cluster: { sku: { name: string } } }>('show', 'jobs');
    assert.equal(still.cluster.sku.name, 'Balanced_B0');
    const changed = await rig.run(
      'update',
      'jobs',
      '--eviction',
      'NoEviction',
      '--tag',
      'team=shop',
      '--notify',
      'KEA',
      '--window',
      'saturday 1 9',
      '--window',
      'Sunday 22 10',
      '--defer-upgrade',
      'on',
    );
    assert.match(changed.out, /^Newer engine +only when asked for$/m);
    assert.match(changed.out, /^Eviction +NoEviction$/m);
    assert.match(changed.out, /^Notifications +KEA$/m);
    assert.match(
      changed.out,
      /^Maintenance +Saturday 01:00 UTC for 9 h, Sunday 22:00 UTC for 10 h$/m,
    );
    assert.match(changed.out, /^Tags +team=shop$/m);
    const before = await rig.json<{ secondaryKey: string }>('keys', 'list', 'jobs');
    const after_ = await rig.json<{ secondaryKey: string }>(
      'keys',
      'regenerate',
      'jobs',
      '--key',
      'Secondary',
    );
    assert.notEqual(before.secondaryKey, after_.secondaryKey);
    assert.equal((await rig.run('delete', 'jobs')).code, EXIT.usage, 'deleted without a question');
    assert.equal((await rig.run('delete', 'jobs', '--yes')).code, 0);
    const gone = await rig.json<{ reason: string }[]>('events', 'jobs');
    assert.equal(gone.at(-1)?.reason, 'cluster-deleted');
    const nobody = await rig.run('events', 'nobody');
    assert.match(nobody.err, /There is no cache named 'nobody'\. \(no-such-cache\)/);
    assert.equal((await rig.json<unknown[]>('list')).length, 1);
  });

  await t.test('a second start on the same folder is refused and changes nothing', async () => {
    const second = rig.up();
    assert.equal(await second.ended, EXIT.cannotStart);
    assert.match(second.err, /^error: .+ \(home-in-use\)$/m);
    assert.equal((await rig.run('status')).code, 0);
  });

  await t.test('uninstall refuses while it runs', async () => {
    const { code, err } = await rig.run('uninstall', '--yes', '--keep-engines');
    assert.equal(code, EXIT.conflict, err);
    assert.ok(existsSync(rig.home));
  });

  await t.test('the control process is killed: clients go on, and it comes back', async () => {
    const redis = client(url);
    await redis.get('greeting');
    const { pid } = rig.control();
    process.kill(pid, 'SIGKILL');
    const changing = rig.run('update', 'quickstart', '--tag', 'team=shop');
    await until(
      () => !isAlive(pid),
      () => 'still alive',
    );
    assert.equal(await redis.get('greeting'), 'hello');
    await first.says('The control process is back.');
    const changed = await changing;
    assert.equal(changed.code, 0, changed.err);
    assert.equal((await rig.run('connect', 'quickstart', 'GET', 'greeting')).out.trim(), 'hello');
    redis.disconnect();
  });

  await t.test('Ctrl-C stops everything and keeps the data', async () => {
    assert.equal(await first.stop(), 0);
    assert.match(first.err, /Stopped\.\n$/);
    assert.deepEqual(processesOf(foldersFrom(rig.env)), []);
    assert.ok(!existsSync(path.join(rig.home, 'control.json')));
    assert.ok(!existsSync(foldersFrom(rig.env).runDir), 'no socket is left');
  });

  await t.test('the second start says what it found, and has the data', async () => {
    const again = rig.up('--quickstart');
    await again.says('Ctrl-C stops it.');
    assert.match(again.err, /Found 1 cache as left/);
    assert.equal(again.out.trim().split('\n')[0], url);
    const redis = client(url);
    await until(
      () => redis.status === 'ready',
      () => redis.status,
    );
    assert.equal(await redis.get('greeting'), 'hello');
    // Both copies are whole, so that either could write the file.
    await redis.set('more', '0');
    assert.ok((await redis.wait(1, 20_000)) >= 1);
    redis.disconnect();
    // Where its file would be is something else: as on a full disk, it cannot be saved.
    const inTheWay = globSync(path.join(rig.home, 'data/*/*')).map((folder) =>
      path.join(folder, 'dump.rdb', 'x'),
    );
    for (const folder of inTheWay) mkdirSync(folder, { recursive: true });
    const refused = await rig.run('down');
    assert.equal(refused.code, 5, refused.err);
    assert.match(refused.err, /quickstart was not stopped.*everything goes on.*\(not-saved\)/);
    assert.match(refused.err, /down --now/);
    await again.says('The stop was refused');
    assert.equal((await rig.run('connect', 'quickstart', 'GET', 'greeting')).out.trim(), 'hello');
    assert.equal((await rig.run('connect', 'quickstart', 'SET', 'more', '1')).out.trim(), 'OK');
    for (const folder of inTheWay) rmSync(path.dirname(folder), { recursive: true, force: true });
    const { code, err } = await rig.run('down');
    assert.equal(code, 0, err);
    assert.equal(await again.ended, 0);
  });
});

test('in the background: no secret is printed; what a killed parent left is stopped in order', async () => {
  const up = await rig.run(
    'up',
    '--detach',
    '--quickstart',
    '--api-port',
    '0',
    '--https-port',
    '0',
    '--workers',
    '1',
  );
  assert.equal(up.code, 0, up.err);
  assert.doesNotMatch(up.out + up.err, /rediss?:\/\//);
  const { pid } = rig.control();
  const parent = Number(execFileSync('ps', ['-o', 'ppid=', '-p', String(pid)]).toString());
  // Both at once: one alone would start the other again.
  process.kill(pid, 'SIGSTOP');
  process.kill(parent, 'SIGKILL');
  process.kill(pid, 'SIGKILL');
  await until(
    () => !isAlive(pid),
    () => 'still alive',
  );
  const doctor = await rig.run('doctor', '--json');
  const orphans = (JSON.parse(doctor.out) as { id: string; state: string }[]).find(
    (f) => f.id === 'orphans',
  );
  assert.equal(orphans?.state, 'warn');
  const down = await rig.run('down');
  assert.equal(down.code, 0, down.err);
  assert.deepEqual(processesOf(foldersFrom(rig.env)), []);
});

test('journald gets no key', async () => {
  const service = new Rig();
  try {
    service.env['JOURNAL_STREAM'] = '8:12345';
    const up = service.up('--quickstart');
    await up.says('cinnabar connect quickstart');
    assert.equal(await up.stop('SIGTERM'), 0);
    assert.doesNotMatch(up.out + up.err, /rediss?:\/\//);
  } finally {
    await service.clean();
  }
});
