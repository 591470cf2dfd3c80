/** What hostile clients try: each ends alone, within bounds, and the others do not notice. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { ReplyScanner } from '../../resp/scan-reply.ts';
import { FULL_BOUNDS, RequestScanner, SCAN_EMPTY, SCAN_MORE } from '../../resp/scan-request.ts';
import { globMatches } from './glob.ts';
import { UNAUTHENTICATED_BYTES } from './limits.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, startShards } from './testing-engines.ts';

/** A stranger: sends, and reads or not. */
async function stranger(port: number): Promise<{ socket: Socket; text: () => string }> {
  const socket = connect(port, '127.0.0.1');
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
  });
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.once('connect', resolve));
  return { socket, text: () => received };
}

test('a pattern with many stars costs no more than its length', () => {
  const pattern = `${'a*'.repeat(60)}b`;
  const startedAt = performance.now();
  assert.equal(globMatches(pattern, 'a'.repeat(5000)), false);
  assert.equal(globMatches(pattern, `${'a'.repeat(5000)}b`), true);
  assert.ok(performance.now() - startedAt < 5000);
  for (const [glob, text, matches] of [
    ['', '', true],
    ['*', '', true],
    ['**', 'x', true],
    ['a?c', 'abc', true],
    ['a?c', 'ac', false],
    ['h[ae]llo', 'hallo', true],
    ['h[^ae]llo', 'hallo', false],
    ['h[a-c]*', 'hbx', true],
    ['\\*', '*', true],
    ['\\*', 'x', false],
    ['*b*d', 'abcbd', true],
    ['*b*d', 'abcbde', false],
    ['[abc', 'a', true],
    ['a*', 'b', false],
  ] as const) {
    assert.equal(globMatches(glob, text), matches, `${glob} ${text}`);
  }
});

test('a line in one-byte pieces is read once', () => {
  const bytes = Buffer.alloc(60_000, 'x');
  const scanner = new RequestScanner();
  const startedAt = performance.now();
  for (let i = 1; i <= bytes.length; i++) {
    assert.equal(scanner.scan(bytes, 0, i, FULL_BOUNDS), SCAN_MORE);
  }
  assert.ok(performance.now() - startedAt < 5000);
  const blank = Buffer.from('   \r\n');
  assert.equal(new RequestScanner().scan(blank, 0, blank.length, FULL_BOUNDS), SCAN_EMPTY);
});

test('replies of scripts: however deep, however long a line, however cut', () => {
  const deep = Buffer.from(`${'*1\r\n'.repeat(3000)}:1\r\n:2\r\n`);
  const line = Buffer.from(
    `*2\r\n+${'x'.repeat(300_000)}\r\n-ERR ${'y'.repeat(300_000)}\r\n:2\r\n`,
  );
  for (const reply of [deep, line]) {
    for (const step of [reply.length, 64 * 1024, 65_521]) {
      const scanner = new ReplyScanner();
      let at = 0;
      for (
        let limit = Math.min(step, reply.length);
        ;
        limit = Math.min(limit + step, reply.length)
      ) {
        at = scanner.scan(reply, at, limit);
        assert.equal(scanner.broken, false);
        if (scanner.done || limit === reply.length) break;
      }
      assert.equal(scanner.done, true, `${step}`);
      assert.equal(at, reply.length - ':2\r\n'.length);
    }
  }
});

test('against two shards', async (t) => {
  const { views } = await startShards(t, 2);
  const running = await startProxy({
    shards: views,
    keys: { default: KEY },
    view: {
      limits: { maxConnections: 1000, idleTimeoutMs: 600_000, outputBufferBytes: 8 * 1024 * 1024 },
    },
  });
  t.after(() => running.close());
  const neighbour = await RawClient.open(running.port);
  t.after(() => neighbour.close());
  const unhurt = async (): Promise<void> => {
    assert.equal(await neighbour.ask('SET', 'n', '1'), '+OK\r\n');
    assert.equal(await neighbour.ask('GET', 'n'), '$1\r\n1\r\n');
  };

  await t.test('before login: no memory for what is not a login', async () => {
    const flood = await stranger(running.port);
    flood.socket.pause();
    flood.socket.write('GET x\r\n'.repeat(2_000_000));
    await eventually('it is ended', () => running.reasons.includes('output-buffer-limit'), 30_000);
    assert.ok(!running.reasons.includes('protocol-error'));
    flood.socket.destroy();
    const large = await stranger(running.port);
    // Each argument is allowed; all of them are not.
    large.socket.write('*10\r\n');
    const part = `$9000\r\n${'x'.repeat(9000)}\r\n`;
    for (let i = 0; i < 9; i++) large.socket.write(part);
    await eventually('it is told', () => large.text().includes('-ERR Protocol error'));
    assert.ok(part.length * 9 > UNAUTHENTICATED_BYTES);
    large.socket.destroy();
    await unhurt();
  });

  await t.test('before login: a login in pieces with much behind it is served', async () => {
    const a = await stranger(running.port);
    const login = `*2\r\n$4\r\nAUTH\r\n$${KEY.length}\r\n${KEY}\r\n`;
    const behind = 'PING\r\n'.repeat(UNAUTHENTICATED_BYTES);
    a.socket.setNoDelay(true);
    a.socket.write(login.slice(0, 20));
    await eventually('the beginning is there', () => running.proxy.world.partialBytes === 20);
    a.socket.write(login.slice(20) + behind);
    const answers = `+OK\r\n${'+PONG\r\n'.repeat(UNAUTHENTICATED_BYTES)}`;
    await eventually('all answers', () => a.text().length >= answers.length);
    assert.ok(a.text() === answers);
    a.socket.destroy();
  });

  await t.test('before login: every way in', async () => {
    for (const bytes of [
      'MULTI\r\nGET x\r\nEXEC\r\n',
      '*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\nGET x\r\n',
      'RESET\r\nGET x\r\n',
      '*4\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$7\r\nSETNAME\r\n$1\r\nx\r\nGET x\r\n',
      'AUTH wrong\r\nGET x\r\n',
      '*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$5\r\nwrong\r\nGET x\r\n',
      'AUTH default\0 x\r\nGET x\r\n',
      'MONITOR\r\nSUBSCRIBE c\r\nGET x\r\n',
      'CLIENT LIST\r\nCONFIG GET *\r\nGET x\r\n',
      `AUTH ${KEY}x\r\nGET x\r\n`,
    ]) {
      const a = await stranger(running.port);
      a.socket.write(bytes);
      await eventually(`answers to ${JSON.stringify(bytes)}`, () => a.text().includes('NOAUTH'));
      a.socket.write('*1\r\n$4\r\nQUIT\r\n');
      await eventually('the end', () => a.text().endsWith('+OK\r\n'));
      const replies = a
        .text()
        .split('\r\n')
        .filter((each) => each !== '');
      assert.deepEqual(
        replies.filter((each) => !/^-(NOAUTH|EXECABORT|WRONGPASS|ERR)/.test(each)),
        bytes.startsWith('RESET') ? ['+RESET', '+OK'] : ['+OK'],
        bytes,
      );
      a.socket.destroy();
    }
  });

  await t.test('broken frames end their sender, with a reason', async () => {
    for (const bytes of [
      '*-2147483648\r\n*2000000\r\n',
      '*1\r\n$-5\r\n',
      '*1\r\n$999999999999\r\n',
      '*1\r\n:5\r\n',
      '*3\r\n$3\r\nSET\r\n$1\r\nkX\r\n',
      '$?\r\n;4\r\n',
      '|1\r\n+a\r\n+b\r\n*1\r\n$4\r\nPING\r\n*9x\r\n',
      `${'x'.repeat(200_000)}`,
      "SET 'open\r\n",
      '\0\0\0\r\n*1\r\n$4\r\nPI\r\n\r\n',
    ]) {
      const a = await RawClient.open(running.port);
      a.socket.write(bytes);
      a.socket.write('*1\r\n$1000000000\r\n');
      await eventually(`the end of ${JSON.stringify(bytes.slice(0, 40))}`, () => a.closed);
      assert.match(a.received.toString('latin1'), /-ERR Protocol error/);
      assert.ok(a.received.length < 10_000);
    }
    await unhurt();
  });

  await t.test('long words where short ones belong', async () => {
    const a = await RawClient.open(running.port);
    const long = Buffer.alloc(300_000, 'x');
    for (const command of [
      ['CLIENT', 'SETNAME', long],
      ['SUBSCRIBE', long],
      ['HELLO', '3', 'SETNAME', long],
      ['AUTH', long, long],
      ['SELECT', long],
    ]) {
      assert.match(await a.ask(...command), /^-ERR argument-too-long: /, String(command[0]));
    }
    assert.match(await a.ask(long, long), /^-ERR unknown command '(x{128})', with args/);
    assert.match(await a.ask('CONFIG', long), /^-ERR unknown subcommand 'x{128}'/);
    assert.equal((await a.ask('ECHO', long)).length, long.length + '$300000\r\n\r\n'.length);
    assert.equal(await a.ask('PUBLISH', 'c', long), ':0\r\n');
    a.close();
  });

  await t.test('what a script answers never costs its neighbours their lane', async () => {
    const a = await RawClient.open(running.port);
    const slow = neighbour.ask('BLPOP', 'none', '0.05');
    const nested = await a.ask('EVAL', 'local t = 1 for i = 1, 300 do t = {t} end return t', '0');
    assert.equal(nested, `${'*1\r\n'.repeat(300)}:1\r\n`);
    const status = await a.ask('EVAL', "return {ok = string.rep('x', 3000000)}", '0');
    assert.equal(status.length, 3_000_003);
    const error = await a.ask(
      'EVAL',
      "return redis.error_reply('BIG ' .. string.rep('y', 3000000))",
      '0',
    );
    assert.ok(error.startsWith('-BIG yyy') && error.endsWith('y\r\n') && error.length > 3_000_000);
    assert.match(await slow, /^\*-1/);
    await unhurt();
    a.close();
  });

  await t.test('an EXEC of gigabytes is not put together here', async () => {
    const a = await RawClient.open(running.port);
    await a.ask('SET', 'big', Buffer.alloc(1_000_000, 'x'));
    a.send(['MULTI'], ...Array.from({ length: 40 }, () => ['GET', 'big']), ['EXEC']);
    await eventually('it is ended', () => a.closed);
    assert.ok(running.reasons.includes('reply-too-large'));
    await unhurt();
  });

  await t.test('messages behind a reply that is not read are bounded', async () => {
    const a = await RawClient.open(running.port, 3);
    await neighbour.ask('SET', 'huge', Buffer.alloc(60_000_000, 'x'));
    await a.ask('SUBSCRIBE', 'flood');
    a.socket.pause();
    a.send(['GET', 'huge']);
    const ended = running.reasons.length;
    const message = Buffer.alloc(100_000, 'm');
    await eventually(
      'it is ended',
      async () => {
        for (let i = 0; i < 20; i++) await neighbour.ask('PUBLISH', 'flood', message);
        return running.reasons.length > ended;
      },
      30_000,
    );
    assert.equal(running.reasons.at(-1), 'output-buffer-limit');
    a.close();
    await unhurt();
  });

  await t.test('MONITOR shows the beginning of what is long', async () => {
    const a = await RawClient.open(running.port);
    a.send(['MONITOR']);
    await eventually('it is one', () => a.received.toString() === '+OK\r\n');
    await neighbour.ask('SET', 'long', Buffer.alloc(100_000, 0));
    await eventually('the line', () => a.received.includes('more bytes)'));
    assert.ok(a.received.length < 30_000);
    a.close();
  });

  await t.test(
    'another protocol while watching: EXEC says that nothing is watched any more',
    async () => {
      const a = await RawClient.open(running.port);
      assert.equal(await a.ask('WATCH', 'w'), '+OK\r\n');
      await a.ask('HELLO', '3');
      a.send(['MULTI'], ['HGETALL', 'w'], ['EXEC']);
      assert.match((await a.settled()).toString(), /\+OK\r\n\+QUEUED\r\n_\r\n$/);
      assert.equal(await a.ask('HGETALL', 'w'), '%0\r\n');
      a.close();
    },
  );
});
