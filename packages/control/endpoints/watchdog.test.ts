/** Engine rule 28: the engines vote exactly when nobody else promotes. Takes the lease's ten seconds. */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { refOf } from '../../engine/index.ts';
import {
  engineRoom,
  eventually,
  type RunningEngine,
  TEST_PASSWORDS,
} from '../../engine/testing.ts';
import { fleetRoom, instanceOf, shardOf, startedFleet, viewOf } from './testing.ts';

const MS = 2000;
const RENEW_MS = 1000;
const SETTING = 'cluster-replica-no-failover';

async function vote(engine: RunningEngine): Promise<string | undefined> {
  return (await engine.link.readSettings([SETTING], MS))[SETTING];
}

function targetOf(engine: RunningEngine) {
  const { launch, process } = engine;
  return { socket: launch.socket, user: 'admin', password: TEST_PASSWORDS.admin, process };
}

const weightOf = ({ process: { pid } }: RunningEngine) => `/proc/${pid}/autogroup`;

/** Where there are no such weights it says what is wanted. */
function gives(engine: RunningEngine, way: boolean): boolean {
  const file = weightOf(engine);
  return !existsSync(file) || / nice 0\n?$/.test(readFileSync(file, 'latin1')) !== way;
}

function makeLight(engine: RunningEngine): void {
  try {
    writeFileSync(weightOf(engine), '5');
  } catch {
    // no such file; or another's write of this tenth of a second: it is tried again
  }
}

suite('the lease', { concurrency: true }, () => {
  test('a lease that is not renewed gives the engines their vote, and the next holder is told', async (t) => {
    const engines = await engineRoom(t);
    const engine = await engines.start(await engines.launch());
    await engine.link.configure({ [SETTING]: 'yes' }, MS);
    await eventually('it gives way, as one that fills', () => {
      makeLight(engine);
      return gives(engine, true);
    });
    const room = fleetRoom(t);
    const view = await viewOf(shardOf(instanceOf(engine)));
    const program = fileURLToPath(new URL('./testing/control-process.ts', import.meta.url));
    const control = fork(program, { execArgv: [] });
    const started = new Promise<{ status: { supervisor: number } }>((resolve) =>
      control.once('message', (message) => resolve(message as never)),
    );
    const targets = [
      targetOf(engine),
      { ...targetOf(engine), socket: join(room.folder, 'absent.sock') },
    ];
    control.send({ folder: join(room.folder, 'run'), workers: 1, epoch: 1, view, targets });
    const supervisor = refOf((await started).status.supervisor);
    assert.ok(supervisor !== null);
    room.guard.watch(supervisor);
    control.kill('SIGKILL');
    const killed = performance.now();
    assert.equal(await vote(engine), 'yes');
    await eventually('the watchdog acts', async () => (await vote(engine)) === 'no', 15_000);
    const waitedMs = performance.now() - killed;
    assert.ok(waitedMs > 9000 && waitedMs < 12_000, `${waitedMs} ms`);
    await eventually('it gives way to nobody', () => gives(engine, false));

    const fleet = room.fleet(1);
    await fleet.start();
    fleet.renewLease([targetOf(engine)]);
    await eventually('the next holder hears of it', () => room.votesGiven === 1);
    await engine.link.configure({ [SETTING]: 'yes' }, MS);
    fleet.renewLease([targetOf(engine)]);
    fleet.detach();
    await eventually(
      'an orderly detach gives the vote at once',
      async () => (await vote(engine)) === 'no',
      MS,
    );
  });

  test('while the lease is renewed the engines keep still', async (t) => {
    const engines = await engineRoom(t);
    const engine = await engines.start(await engines.launch());
    await engine.link.configure({ [SETTING]: 'yes' }, MS);
    const room = fleetRoom(t);
    const fleet = await startedFleet(room, 1);
    const timer = setInterval(() => fleet.renewLease([targetOf(engine)]), RENEW_MS);
    t.after(() => clearInterval(timer));
    const end = performance.now() + 11_000;
    await eventually(
      'eleven seconds pass',
      async () => {
        assert.equal(await vote(engine), 'yes');
        return performance.now() > end;
      },
      15_000,
    );
    assert.equal(room.votesGiven, 0);
  });
});
