import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  HEALTHY_AFTER_MS,
  MAX_BOOT_CRASHES,
  RESTART_LAST_MS,
  RESTART_SERVED_MS,
  SAME_SIGNAL_MS,
} from '../limits.ts';
import type { Act, Happening, Life } from './lifecycle.ts';
import { begin, next, pauseBefore } from './lifecycle.ts';

/** Plays happenings at their times; answers what was done. */
function play(...story: readonly (readonly [at: number, happening: Happening])[]): {
  life: Life;
  acts: Act[];
} {
  let { life, acts } = begin(0);
  const all = [...acts];
  for (const [at, happening] of story) {
    ({ life, acts } = next(life, happening, at));
    all.push(...acts);
  }
  return { life, acts: all };
}

const SIGNAL: Happening = { type: 'signal' };
const READY: Happening = { type: 'ready' };
const FATAL: Happening = { type: 'fatal', passing: false };
const CRASH: Happening = { type: 'exit', code: 1, stopped: false };
const REFUSED: Happening = { type: 'stop-refused' };
const STOPPED: Happening = { type: 'exit', code: 0, stopped: true };

test('a second signal within two seconds is the same one', () => {
  const { acts } = play([0, READY], [10, SIGNAL], [10 + SAME_SIGNAL_MS - 1, SIGNAL]);
  assert.deepEqual(
    acts.filter((a) => a.act === 'stop'),
    [{ act: 'stop', now: false }],
  );
});

test('a later signal stops at once, and kills what does not obey', () => {
  const { acts } = play([0, READY], [10, SIGNAL], [10 + SAME_SIGNAL_MS, SIGNAL]);
  assert.deepEqual(acts.slice(1), [
    { act: 'stop', now: false },
    { act: 'stop', now: true },
    { act: 'kill-later' },
  ]);
});

test('an orderly end is an end', () => {
  const { life, acts } = play([0, READY], [10, SIGNAL], [20, STOPPED]);
  assert.equal(life.phase, 'ended');
  assert.deepEqual(acts.at(-1), { act: 'exit', how: 'stopped' });
});

test('a stop that came over the API is not taken for a crash', () => {
  const { acts } = play([0, READY], [10, { type: 'stopping' }], [20, STOPPED]);
  assert.deepEqual(acts.at(-1), { act: 'exit', how: 'stopped' });
});

test('a crash is followed by a pause and another start', () => {
  const { life, acts } = play([0, READY], [100, CRASH], [300, { type: 'pause-over' }]);
  assert.deepEqual(
    acts.map((a) => a.act),
    ['spawn', 'say-crashed', 'pause', 'spawn'],
  );
  assert.equal(life.phase, 'booting');
});

test('it gives up on a control process that never gets up', () => {
  const story: [number, Happening][] = [];
  for (let i = 0; i < MAX_BOOT_CRASHES; i++) {
    story.push([i * 1000, CRASH], [i * 1000 + 500, { type: 'pause-over' }]);
  }
  const { life, acts } = play(...story);
  assert.equal(life.phase, 'ended');
  assert.equal(acts.filter((a) => a.act === 'spawn').length, MAX_BOOT_CRASHES);
  assert.deepEqual(acts.at(-1), { act: 'exit', how: 'gave-up' });
});

test('it never gives up on one that served before', () => {
  const story: [number, Happening][] = [[0, READY]];
  for (let i = 0; i < 50; i++)
    story.push([i * 1000, CRASH], [i * 1000 + 500, { type: 'pause-over' }]);
  assert.equal(play(...story).life.phase, 'booting');
});

test('a healthy run forgives what was before', () => {
  const { acts } = play(
    [0, READY],
    [1, CRASH],
    [2, { type: 'pause-over' }],
    [3, CRASH],
    [4, { type: 'pause-over' }],
    [4 + HEALTHY_AFTER_MS, CRASH],
  );
  const pauses = acts.filter((a) => a.act === 'pause').map((a) => a.ms);
  assert.deepEqual(pauses, [pauseBefore(1), pauseBefore(2), pauseBefore(1)]);
});

test('one that served is back soon, however often it is killed; one that does not get up is tried less often', () => {
  const pauses = (each: readonly Happening[]): number[] => {
    const story: [number, Happening][] = [[0, READY]];
    for (let i = 1; i < 12; i++) for (const happening of each) story.push([i * 2_000, happening]);
    return play(...story).acts.flatMap((a) => (a.act === 'pause' ? [a.ms] : []));
  };
  assert.equal(Math.max(...pauses([CRASH, { type: 'pause-over' }, READY])), RESTART_SERVED_MS);
  assert.equal(Math.max(...pauses([CRASH, { type: 'pause-over' }])), RESTART_LAST_MS);
});

test('a refused stop starts control again at once; one by a signal meanwhile is carried out', () => {
  const asked: [number, Happening][] = [
    [0, READY],
    [10, { type: 'stopping' }],
    [20, REFUSED],
  ];
  const exit: Happening = { type: 'exit', code: 75, stopped: false };
  const { life, acts } = play(...asked, [30, exit]);
  assert.equal(life.phase, 'booting');
  assert.deepEqual(acts.at(-1), { act: 'spawn' });
  assert.deepEqual(play(...asked, [25, SIGNAL], [30, exit]).acts.slice(1), [
    { act: 'spawn' },
    { act: 'stop', now: false },
  ]);
});

test('a stop that left caches running is not called an orderly one', () => {
  const { acts } = play([0, READY], [10, SIGNAL], [20, { ...STOPPED, held: true } as Happening]);
  assert.deepEqual(acts.at(-1), { act: 'exit', how: 'held' });
});

test('a stop during the pause starts control once more, to be stopped', () => {
  const { acts } = play([0, READY], [1, CRASH], [2, SIGNAL]);
  assert.deepEqual(acts.slice(-2), [{ act: 'spawn' }, { act: 'stop', now: false }]);
});

test('a fatal error is not tried again', () => {
  const { acts } = play([0, FATAL], [1, { type: 'exit', code: 78, stopped: false }]);
  assert.deepEqual(acts.at(-1), { act: 'exit', how: 'fatal' });
  assert.equal(acts.filter((a) => a.act === 'spawn').length, 1);
});

test('a full disk: one that served is started until there is room, a first start ends', () => {
  const full: Happening = { type: 'fatal', passing: true };
  const exit: Happening = { type: 'exit', code: 78, stopped: false };
  assert.deepEqual(play([0, full], [1, exit]).acts.at(-1), { act: 'exit', how: 'fatal' });
  const again: [number, Happening][] = [
    [0, READY],
    [1, CRASH],
    [2, { type: 'pause-over' }],
  ];
  for (let i = 1; i < 30; i++) {
    again.push([i * 20, full], [i * 20 + 1, exit], [i * 20 + 2, { type: 'pause-over' }]);
  }
  assert.equal(play(...again).life.phase, 'booting');
  const stopped = play([0, READY], [1, CRASH], [2, SIGNAL], [3, full], [4, exit]);
  assert.deepEqual(stopped.acts.at(-1), { act: 'exit', how: 'fatal' });
});

test('a crash while stopping is said', () => {
  const { acts } = play([0, READY], [1, SIGNAL], [2, CRASH]);
  assert.deepEqual(acts.at(-1), { act: 'exit', how: 'unclean' });
});

test('whatever happens: one process at a time, pauses are bounded, after the end nothing', () => {
  const happening = fc.constantFrom<Happening>(
    SIGNAL,
    READY,
    FATAL,
    { type: 'fatal', passing: true },
    { type: 'stopping' },
    { type: 'pause-over' },
    REFUSED,
    CRASH,
    STOPPED,
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(5000), happening), { maxLength: 60 }), (story) => {
      let { life, acts } = begin(0);
      let processes = 1;
      let now = 0;
      for (const [later, event] of story) {
        now += later;
        // An exit needs a process, a word of control too.
        if (processes === 0 && event.type !== 'signal' && event.type !== 'pause-over') continue;
        if (event.type === 'exit') processes--;
        const ended = life.phase === 'ended';
        ({ life, acts } = next(life, event, now));
        if (ended) assert.deepEqual(acts, []);
        for (const act of acts) {
          if (act.act === 'spawn') processes++;
          if (act.act === 'pause') assert.ok(act.ms <= RESTART_LAST_MS);
          if (act.act === 'exit') assert.equal(processes, 0);
        }
        assert.ok(processes <= 1);
        if (life.phase === 'ended') return;
      }
    }),
    { numRuns: 2000 },
  );
});
