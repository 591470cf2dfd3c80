import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

test('many are done at the exit by one listener, and what was taken back is not', () => {
  const script = `
    import { atExit } from ${JSON.stringify(import.meta.resolve('./at-exit.ts'))};
    const forget = atExit(() => console.log('forgotten'));
    for (let i = 0; i < 12; i++) atExit(() => console.log(i));
    forget();
    console.log(process.listenerCount('exit'));
  `;
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  assert.deepEqual(said.trim().split('\n'), ['1', ...Array.from({ length: 12 }, (_, i) => `${i}`)]);
});
