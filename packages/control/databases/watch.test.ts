import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineFacts, EngineLink } from '../../engine/contract.ts';
import { EngineError } from '../../engine/index.ts';
import { judge } from '../plan/hang.ts';
import { BUSY_AFTER_MS, SCRIPT_AFTER_MS } from '../plan/limits.ts';
import { SimClock } from '../simulation/clock.ts';
import { Random } from '../simulation/random.ts';
import type { InstanceRecord } from '../store/records.ts';
import type { ExecutorDeps } from './deps.ts';
import { Heart } from './heart.ts';
import { Watch } from './watch.ts';

const FACTS = { role: 'primary', offset: 1, loading: false, cluster: null } as EngineFacts;
const QUIET = { changed() {}, sampled() {}, falseAlarm() {}, alarm() {}, calm() {} };

/** An engine in a script: PING and INFO say BUSY, `answersAt` willing; the process works all the time. */
class Scripted {
  readonly clock = new SimClock(new Random(1));
  readonly heart = new Heart(this.clock);
  readonly watch: Watch;
  busy: boolean;
  /** Connections that nobody has closed. */
  open = 0;

  constructor(answersIn: (now: number) => number, busy = false) {
    const { clock } = this;
    this.busy = busy;
    const late = () => (this.busy ? answersIn(clock.ticks()) : 0);
    const info = async () => {
      await clock.sleep(late());
      if (this.busy) throw new EngineError('engine-busy', 'BUSY Valkey is busy running a script.');
      return FACTS;
    };
    const link = {
      closed: false,
      onClose() {},
      close: () => void this.open--,
      facts: info,
      stream: info,
      beat: (answered: (answer: 'pong' | 'busy') => void) =>
        void clock.later(late(), () => answered(this.busy ? 'busy' : 'pong')),
    } as unknown as EngineLink;
    const inspect = () => ({
      state: 'alive',
      cpuTicks: clock.ticks(),
      rssBytes: 0,
      runnable: true,
    });
    const opened = async () => {
      this.open++;
      return link;
    };
    const deps = { clock, node: { link: opened, inspect } } as unknown as ExecutorDeps;
    const instance = { phase: 'running', process: { pid: 1, startTicks: 1 } } as InstanceRecord;
    this.watch = new Watch(deps, instance, {} as never, {}, QUIET, this.heart);
    this.heart.start();
  }

  async until(when: () => boolean, most: number): Promise<void> {
    const end = this.clock.ticks() + most;
    while (!when() && this.clock.ticks() < end) await this.clock.step();
  }

  verdict() {
    const around = { ownDelayMs: 0, othersSilent: false, sinceDeadlineMs: null };
    return judge(this.watch.sighting(), { ...around, now: this.clock.ticks() });
  }
}

const SCRIPTS: readonly (readonly [string, (now: number) => number])[] = [
  ['that does nothing else', () => 0],
  [
    'whose own commands keep it from answering now and then',
    (now) => (now % 3_000 < 500 ? 450 : 0),
  ],
];

for (const [what, answersIn] of SCRIPTS) {
  test(`an endless script ${what} is ended after ${SCRIPT_AFTER_MS} ms, whoever asks meanwhile`, async () => {
    const it = new Scripted(answersIn);
    await it.until(() => it.watch.sighting().condition === 'answering', 2_000);
    it.busy = true;
    const began = it.clock.ticks();
    const silent = () => it.watch.sighting().condition !== 'answering';
    await it.until(silent, 5_000);
    assert.ok(silent());
    let looked = began;
    const judged = () => {
      if (it.clock.ticks() - looked > 1_700) {
        looked = it.clock.ticks();
        void it.watch.look(); // as `cinnabar show` does
      }
      return 'fence' in it.verdict();
    };
    await it.until(judged, 2 * SCRIPT_AFTER_MS);
    const took = it.clock.ticks() - began;
    assert.deepEqual(it.verdict(), { fence: 'script' }, `${took} ms`);
    assert.ok(took >= SCRIPT_AFTER_MS && took < SCRIPT_AFTER_MS + 3_000, `${took} ms`);
  });
}

test('an engine that answered between two scripts is judged by the second alone', async () => {
  const it = new Scripted(() => 0);
  const is = (condition: string) => () => it.watch.sighting().condition === condition;
  await it.until(is('answering'), 2_000);
  it.busy = true;
  await it.until(is('script'), 5_000);
  await it.until(() => false, BUSY_AFTER_MS);
  it.busy = false;
  await it.until(is('answering'), 5_000);
  it.busy = true;
  await it.until(is('script'), 5_000);
  await it.until(() => false, SCRIPT_AFTER_MS - 2_000);
  assert.ok('waitMs' in it.verdict());
});

test('an engine that is found in a script is given as long, and no connection is left behind by asking', async () => {
  const it = new Scripted(() => 0, true);
  const is = (condition: string) => () => it.watch.sighting().condition === condition;
  await it.until(is('script'), 1_000);
  assert.ok(is('script')());
  const began = it.clock.ticks();
  await it.until(() => 'fence' in it.verdict(), 2 * SCRIPT_AFTER_MS);
  assert.deepEqual(it.verdict(), { fence: 'script' });
  assert.ok(it.clock.ticks() - began >= SCRIPT_AFTER_MS - 1_000);
  assert.ok(it.open <= 1, `${it.open} connections`);
  it.busy = false;
  await it.until(is('answering'), 1_000);
  assert.ok(is('answering')());
  assert.equal(it.open, 2);
});
