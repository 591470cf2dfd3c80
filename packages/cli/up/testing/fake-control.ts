/**
 * A child that speaks the boot protocol and does what the environment says, for the tests of the
 * parent: it is the parent that is tested there, with real processes and signals.
 */
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { FromControl, StartOptions, ToControl } from '../../../control/boot-protocol.ts';

const say = (message: FromControl): void => {
  process.send?.(message);
};

const keepAlive = setInterval(() => {}, 500);

function start(options: StartOptions): void {
  const mode = process.env['FAKE_CONTROL'] ?? 'serve';
  const diary = path.join(options.home, 'diary');
  appendFileSync(diary, `start ${process.pid}\n`);
  process.stdout.write('{"level":30,"msg":"hello from the child"}\n');
  say({ type: 'step', id: 'engine', title: 'Engine', state: 'done', detail: 'valkey 9', ms: 3 });
  if (mode === 'fatal') {
    say({
      type: 'fatal',
      code: 'home-in-use',
      message: 'Another one runs here.',
      remedy: 'Stop it.',
    });
    process.exit(78);
  }
  if (mode === 'crash-always') process.exit(7);
  const crashed = path.join(options.home, 'crashed');
  say({ type: 'ready', status: {} as never, firstStart: false });
  if (mode === 'crash-once' && !existsSync(crashed)) {
    writeFileSync(crashed, '');
    process.kill(process.pid, 'SIGKILL');
  }
  process.on('message', (message: ToControl) => {
    if (message.type !== 'stop') return;
    appendFileSync(diary, `stop ${message.now ? 'now' : 'order'}\n`);
    if (mode === 'hang') return;
    if (mode === 'slow' && !message.now) return;
    say({ type: 'stopping' });
    const held = mode === 'full' ? ['c1 was not stopped: no room.'] : [];
    say({ type: 'stopped', notes: ['All saved.'], held });
    clearInterval(keepAlive);
    process.disconnect?.();
  });
}

process.once('message', (message: ToControl) => {
  if (message.type === 'start') start(message.options);
});
