import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { refOf } from '../../engine/index.ts';
import { eventually } from '../../engine/testing.ts';
import { giveWeightBack } from './full-weight.ts';

/** In a session of its own, which gives way. */
async function light(t: TestContext) {
  const child = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
  t.after(() => child.kill());
  const file = `/proc/${child.pid}/autogroup`;
  // Where there are no such weights it says what is wanted.
  const gives = (way: boolean): boolean =>
    !existsSync(file) || / nice 5\n?$/.test(readFileSync(file, 'latin1')) === way;
  await eventually('it gives way', () => {
    try {
      writeFileSync(file, '5');
    } catch {
      // no such file, or another's write of this tenth of a second: it is tried again
    }
    return gives(true);
  });
  const process = refOf(child.pid ?? 0);
  assert.ok(process !== null);
  return { process, gives };
}

test('the weight of an engine is given back, and that of who has the pid of a dead one is left', async (t) => {
  const [stranger, engine] = [await light(t), await light(t)];
  const dead = { ...stranger.process, startTicks: stranger.process.startTicks - 1 };
  giveWeightBack([dead, engine.process]);
  await eventually('it gives way to nobody', () => engine.gives(false));
  assert.ok(stranger.gives(true));
});
