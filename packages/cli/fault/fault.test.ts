/** `cinnabar fault` on a real cache: each fault seen from outside while it is on, and gone afterwards. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { Asker } from '../../bench/load/asker.ts';
import type { ShardStatus } from '../../control/service.ts';
import { Faults, inspectProcess, requireRef, until } from '../../faults/index.ts';
import { ApiClient } from '../api/client.ts';
import { moduleFile } from '../self.ts';
import { Rig, type Started } from '../testing/rig.ts';
import { KIND_NAMES, KINDS } from './kinds.ts';
import { type FaultFlags, requestOf } from './request.ts';
import type { FaultEvent } from './run.ts';

const rig = new Rig();
const CACHE = 'quickstart';
const HEAL_MS = 60_000;
let up: Started;

before(async () => {
  Object.assign(rig.env, await rig.json('fault', '--clock-environment'));
  up = rig.up('--quickstart');
  await up.says(/"?quickstart/);
  await until('it serves', () => up.out.includes('rediss://'), HEAL_MS);
});
after(async () => {
  for (const { child } of running) child.kill();
  await up.stop();
  await rig.clean();
});

/** What a failed test left on. */
const running: Running[] = [];

/** The command in the background, and what it said so far. */
class Running {
  readonly events: FaultEvent[] = [];
  error = '';
  code: number | null = null;
  readonly child: ChildProcess;

  constructor(...args: readonly string[]) {
    const line = [moduleFile('cli/main'), 'fault', CACHE, ...args, '--json'];
    this.child = spawn(process.execPath, line, { env: rig.env, stdio: ['ignore', 'pipe', 'pipe'] });
    running.push(this);
    let text = '';
    this.child.stdout?.on('data', (data: Buffer) => {
      text += data.toString();
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      this.events.push(...lines.map((each) => JSON.parse(each) as FaultEvent));
    });
    this.child.stderr?.on('data', (data: Buffer) => {
      this.error += data.toString();
    });
    this.child.once('exit', (code) => {
      this.code = code ?? 128;
    });
  }

  says(event: FaultEvent['event']): Promise<void> {
    return until(
      `${event} is said (${this.error})`,
      () => {
        if (this.code !== null && this.code !== 0) throw new Error(this.error);
        return this.events.some((each) => each.event === event);
      },
      HEAL_MS,
    );
  }
}

const api = (): ApiClient => ApiClient.forHome(rig.home);

async function shard(): Promise<ShardStatus> {
  const [first] = await api().shards(CACHE);
  assert.ok(first !== undefined);
  return first;
}

async function pidOf(role: 'primary' | 'replica'): Promise<number> {
  const pid = (await shard()).instances.find((each) => each.role === role)?.instance.process?.pid;
  assert.ok(pid !== undefined, `there is a ${role}`);
  return pid;
}

async function whole(): Promise<void> {
  await until(
    'the cache is whole',
    async () => {
      const { shard: record, instances } = await shard();
      const serves = instances.some((i) => i.role === 'primary' && i.instance.process !== null);
      return (
        record.phase === 'serving' && serves && instances.some((i) => i.condition === 'in-sync')
      );
    },
    HEAL_MS,
  );
}

async function client(port?: number): Promise<Asker> {
  const url = new URL(/rediss:\/\/\S+/.exec(up.out)?.[0] ?? '');
  return Asker.open({
    host: 'localhost',
    port: port ?? Number(url.port),
    username: 'default',
    password: decodeURIComponent(url.password),
    tls: { ca: rig.control().caFile },
  });
}

test('hang: a replica stands still while it is on; Ctrl-C ends it early', async () => {
  const ref = requireRef(await pidOf('replica'));
  const fault = new Running('hang', '--target', 'replica', '--for', '10m');
  await fault.says('on');
  assert.equal(inspectProcess(ref).state, 'stopped');
  fault.child.kill('SIGINT');
  await fault.says('undone');
  await until('it goes on', () => inspectProcess(ref).state === 'running', HEAL_MS);
  await until('the command ended', () => fault.code === 0, HEAL_MS);
});

test('hang: a primary that is replaced for it is not said to be back', async () => {
  const ref = requireRef(await pidOf('primary'));
  const fault = new Running('hang', '--target', 'primary', '--for', '10m');
  await fault.says('on');
  await until('it was replaced', () => inspectProcess(ref).state === 'gone', HEAL_MS);
  fault.child.kill('SIGINT');
  await fault.says('undone');
  const undone = fault.events.find(({ event }) => event === 'undone');
  assert.ok(undone?.event === 'undone');
  assert.equal(undone.what, `process ${ref.pid} was ended meanwhile: nothing is left to be undone`);
  await whole();
});

test('a fault is undone when the command is killed', async () => {
  const { endpoint } = await api().status();
  const ref = requireRef(endpoint.workers[0]?.pid ?? 0);
  const fault = new Running('hang', '--target', 'worker', '--for', '10m');
  await fault.says('on');
  assert.equal(inspectProcess(ref).state, 'stopped');
  fault.child.kill('SIGKILL');
  await until('it goes on', () => inspectProcess(ref).state === 'running', HEAL_MS);
});

test('slow and cut: met by whoever goes through the proxy, by nobody else, and over afterwards', async () => {
  const fault = new Running('slow', '--delay', '300ms', '--for', '10m', '--after', '10m');
  await fault.says('on');
  const [listening] = fault.events;
  assert.ok(listening?.event === 'listening');
  const [slow, direct] = [await client(listening.port), await client()];
  assert.ok((await timed(slow)) >= 300);
  // The quickest of three: this machine may be busy with other things.
  assert.ok(Math.min(await timed(direct), await timed(direct), await timed(direct)) < 300);
  fault.child.kill('SIGINT');
  await fault.says('undone');
  assert.ok(Math.min(await timed(slow), await timed(slow), await timed(slow)) < 300);
  slow.close();
  fault.child.kill('SIGINT');

  const cut = new Running(
    ...['cut', '--direction', 'down', '--for', '10m', '--before', '10m', '--after', '10m'],
  );
  await cut.says('listening');
  const [through] = cut.events;
  assert.ok(through?.event === 'listening');
  const late = await client(through.port);
  cut.child.kill('SIGINT');
  await cut.says('on');
  let answered = false;
  const answer = late.ask('PING').then((reply) => {
    answered = true;
    return reply;
  });
  await timed(direct);
  assert.equal(answered, false);
  cut.child.kill('SIGINT');
  assert.equal(await answer, 'PONG');
  for (const each of [late, direct]) each.close();
  cut.child.kill('SIGINT');
});

async function timed(asker: Asker): Promise<number> {
  const began = performance.now();
  assert.equal(await asker.ask('PING'), 'PONG');
  return performance.now() - began;
}

test('memory: the limit is there while it is on and gone afterwards', async () => {
  const pid = await pidOf('primary');
  const limit = (): string =>
    /^Max address space\s+(\S+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'latin1'))?.[1] ?? '';
  const before = limit();
  const fault = new Running('memory', '--headroom', '512mb', '--for', '10m');
  await fault.says('on');
  assert.notEqual(limit(), before);
  fault.child.kill('SIGINT');
  await fault.says('undone');
  assert.equal(limit(), before);
});

test('full disk: nothing can be changed while it is on, and can be afterwards', async () => {
  const fault = new Running('full-disk', '--target', 'control', '--for', '10m');
  await fault.says('on');
  const tags = { tags: { rehearsed: 'yes' } };
  await assert.rejects(api().patchCluster(CACHE, tags), /disk|space|full/i);
  fault.child.kill('SIGINT');
  await fault.says('undone');
  await api().patchCluster(CACHE, tags);
});

test('kill: what died is replaced', async () => {
  await whole();
  const pid = await pidOf('primary');
  const { code, out, err } = await rig.run('fault', CACHE, 'kill');
  assert.equal(code, 0, err);
  assert.match(out, new RegExp(`primary of shard 0 of ${CACHE}: process ${pid} is gone: done`));
  // What the API says may be of the moment before.
  const another = async (): Promise<boolean> => {
    const { instances } = await shard();
    const now = instances.find((each) => each.role === 'primary')?.instance.process?.pid;
    return now !== undefined && now !== pid;
  };
  await until('another one is primary', another, HEAL_MS);
  await whole();
});

test('the load generator of the command line finds the cache, and every write is there', async () => {
  const file = path.join(import.meta.dirname, '../../bench/load.ts');
  const args = [file, CACHE, '--home', rig.home, '--rate', '200', '--seconds', '1'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: rig.env });
  assert.match(stdout, /writes: [1-9]\d* acknowledged, 0 lost, 0 duplicated, 0 reordered/);
});

test('clock: control is two hours behind while it is on, and on time afterwards', async () => {
  // By what it says itself: what it decides goes by a time that never goes back.
  const behind = async (): Promise<number> => {
    const { headers } = await fetch(`${rig.control().http}/`);
    return Math.round((Date.now() - Date.parse(headers.get('date') ?? '')) / 60_000);
  };
  const isBehind = (minutes: number): Promise<void> =>
    until(`it is ${minutes} minutes behind`, async () => (await behind()) === minutes, HEAL_MS);
  await isBehind(0);
  const fault = new Running('clock', '--jump', '-2h', '--for', '10m');
  await fault.says('on');
  await isBehind(120);
  fault.child.kill('SIGINT');
  await fault.says('undone');
  await isBehind(0);
  assert.throws(() => Faults.clockOf(requireRef(process.pid)), /not started with libfaketime/);
});

test('what is not there is named', async () => {
  for (const [args, code] of [
    [[CACHE, 'kill', '--shard', '7'], 3],
    [[CACHE, 'kill', '--target', 'worker', '--worker', '9'], 3],
    [[CACHE, 'explode'], 2],
  ] as const) {
    assert.equal((await rig.run('fault', ...args)).code, code, args.join(' '));
  }
});

test('wrong calls are refused by name', () => {
  const refused = (kind: string, flags: FaultFlags, said: RegExp): void => {
    assert.throws(() => requestOf(CACHE, kind, flags), said, kind);
  };
  refused('explode', {}, /no kind of fault/);
  refused('hang', {}, /needs --for/);
  refused('hang', { for: '5' }, /not a time/);
  refused('hang', { for: '2h' }, /at most 1h/);
  refused('hang', { for: '1s', delay: '1s' }, /takes no --delay/);
  refused('kill', { for: '1s' }, /does not last/);
  refused('kill', { target: 'endpoint' }, /cannot be set on endpoint/);
  refused('slow', { for: '1s' }, /needs --delay or --rate/);
  refused('slow', { for: '1s', delay: '1s', inPlace: true }, /cannot be set in place/);
  refused('slow', { for: '1s', rate: '-1' }, /not a size/);
  refused('cut', { for: '1s', inPlace: true, listen: '7000' }, /belongs to a proxy/);
  refused('memory', { for: '1s' }, /needs --headroom/);
  refused('clock', { for: '1s', jump: 'yesterday' }, /not a step in time/);
  assert.equal(requestOf(CACHE, 'clock', { for: '1s', jump: '-2h' }).jumpSeconds, -7_200);
  assert.equal(requestOf(CACHE, 'slow', { for: '1s', rate: '1.5kb' }).bytesPerSecond, 1_500);
});

test('every kind is described, and has a target to begin with', () => {
  for (const name of KIND_NAMES) {
    assert.ok(KINDS[name].summary.length > 10 && KINDS[name].targets.length > 0, name);
  }
});
