import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WORKER_ASKED_MS, WORKER_HUNG_MS, WORKER_LOOK_MS, WORKER_TURN_MS } from '../limits.ts';
import { asked, type Look, looked, verdict } from './hang.ts';

/** When it is ended, and why, if each look at it is this one; null: not within two minutes. */
function ended(look: (now: number) => Look | null, othersSilent = false) {
  let silence = asked(0);
  for (let now = WORKER_ASKED_MS; now <= 120_000; now += WORKER_LOOK_MS) {
    silence = looked(silence, look(now), now);
    const why = verdict(silence, now, othersSilent);
    if (why !== null) return { now, why: why.split(':')[0] };
  }
  return null;
}

test('stopped, or waiting for ever: hung after the time for that, and not before', () => {
  for (const letter of ['T', 't', 'S']) {
    const since = letter.toUpperCase() === 'T' ? 0 : WORKER_ASKED_MS;
    assert.deepEqual(
      ended(() => ({ letter, cpuTicks: 7 })),
      { now: since + WORKER_HUNG_MS, why: 'hung' },
      letter,
    );
  }
});

test('one that works, waits for a core or for a device gets long', () => {
  const cases: Record<string, (now: number) => Look | null> = {
    'uses CPU': (now) => ({ letter: 'S', cpuTicks: now }),
    'waits for a core': () => ({ letter: 'R', cpuTicks: 7 }),
    'waits for a disk': () => ({ letter: 'D', cpuTicks: 7 }),
    'waits for a disk now and then': (now) => ({
      letter: now % 2000 < 500 ? 'D' : 'S',
      cpuTicks: 7,
    }),
    'works every other second': (now) => ({ letter: 'S', cpuTicks: Math.floor(now / 2000) }),
    'cannot be seen': () => null,
  };
  for (const [name, look] of Object.entries(cases)) {
    assert.deepEqual(ended(look), { now: WORKER_TURN_MS, why: 'busy' }, name);
  }
});

test('the time begins when it last worked', () => {
  const look = (now: number): Look => ({ letter: 'S', cpuTicks: Math.min(now, 5000) });
  assert.deepEqual(ended(look), { now: 5000 + WORKER_HUNG_MS, why: 'hung' });
});

test('silent together, and none of them stopped: the machine is the suspect', () => {
  assert.equal(ended(() => ({ letter: 'S', cpuTicks: 7 }), true)?.why, 'busy');
  assert.equal(ended(() => ({ letter: 'T', cpuTicks: 7 }), true)?.why, 'hung');
});
