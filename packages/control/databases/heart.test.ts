import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SimClock } from '../simulation/clock.ts';
import { Random } from '../simulation/random.ts';
import { Heart } from './heart.ts';
import { BEAT_MS } from './limits.ts';

test('all are asked in one beat, in step, until they leave', async () => {
  const clock = new SimClock(new Random(1));
  const heart = new Heart(clock);
  const seen: string[] = [];
  const a = (beat: number): void => void seen.push(`a${beat}`);
  const b = (beat: number): void => void seen.push(`b${beat}`);
  heart.add(a);
  heart.start();
  await clock.step();
  heart.add(b);
  await clock.step();
  heart.remove(a);
  await clock.step();
  assert.deepEqual(seen, ['a0', 'a1', 'b1', 'b2']);
  assert.equal(clock.ticks() % BEAT_MS, 0, 'no drift');
  heart.stop();
  assert.equal(await clock.step(), false, 'nothing is left to do');
});

test('a beat that comes late says by how much', async () => {
  const clock = new SimClock(new Random(1));
  const heart = new Heart(clock);
  heart.start();
  await clock.step();
  assert.equal(heart.lateMs, 0);
  // What blocks this process moves the time, and the beat is behind it.
  clock.pass(BEAT_MS + 700);
  await clock.step();
  assert.equal(heart.lateMs, 700);
});
