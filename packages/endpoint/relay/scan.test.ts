import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { Exchange } from './exchange.ts';
import { ReplyScanner } from './reply-scan.ts';
import { RequestScanner } from './request-scan.ts';

const cuts = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 20 });

function inPieces(bytes: Buffer, sizes: readonly number[], feed: (piece: Buffer) => void): void {
  let at = 0;
  for (let i = 0; at < bytes.length; i += 1) {
    const size = sizes[i % sizes.length] ?? 1;
    feed(bytes.subarray(at, at + size));
    at += size;
  }
}

const multibulk = (args: readonly Uint8Array[]): Buffer =>
  Buffer.concat([
    Buffer.from(`*${args.length}\r\n`),
    ...args.flatMap((arg) => [Buffer.from(`$${arg.length}\r\n`), arg, Buffer.from('\r\n')]),
  ]);
const argument = fc.oneof(
  fc.uint8Array({ maxLength: 20 }),
  fc.constantFrom('GET', 'blpop', 'CLIENT', '*1', '$3', '\r\n').map((text) => Buffer.from(text)),
);

test('requests: as many as were sent, however they are cut, whatever they carry', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(argument, { minLength: 1, maxLength: 5 }), { maxLength: 8 }),
      cuts,
      (requests, sizes) => {
        let seen = 0;
        const scanner = new RequestScanner(() => {
          seen += 1;
        });
        inPieces(Buffer.concat(requests.map(multibulk)), sizes, (piece) => scanner.feed(piece));
        assert.equal(seen, requests.length);
        assert.ok(scanner.atBoundary);
      },
    ),
  );
});

test('requests: any bytes end in a state, without an exception', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }), (chunks) => {
      const scanner = new RequestScanner(() => {});
      for (const chunk of chunks) scanner.feed(chunk);
      assert.equal(typeof scanner.broken, 'boolean');
    }),
  );
});

test('requests: inline, empty and marked ones', () => {
  const seen: (readonly string[] | null)[] = [];
  const scanner = new RequestScanner((marked) => seen.push(marked));
  scanner.feed(Buffer.from('PING\r\n\r\n  \n*0\r\n*-1\r\nset a b\nsubscribe  news\r\n'));
  assert.deepEqual(seen, [null, null, ['SUBSCRIBE', 'news']]);
  seen.length = 0;
  scanner.feed(multibulk(['client', 'reply', 'off'].map((word) => Buffer.from(word))));
  scanner.feed(
    multibulk(['XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', '0'].map((w) => Buffer.from(w))),
  );
  assert.deepEqual(seen, [
    ['CLIENT', 'reply', 'off'],
    ['XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', '0'],
  ]);
  assert.equal(scanner.broken, false);
});

test('requests: what Valkey calls a protocol error breaks the scanner', () => {
  for (const text of [
    '*x\r\n',
    '*1\r\n+GET\r\n',
    '*1\r\n$-1\r\n',
    '*1\r\n$a\r\n',
    '*\r\n',
    '*1\r\n$\r\n',
  ]) {
    const scanner = new RequestScanner(() => assert.fail(text));
    scanner.feed(Buffer.from(text));
    assert.ok(scanner.broken, JSON.stringify(text));
  }
  const scanner = new RequestScanner(() => {});
  scanner.feed(Buffer.alloc(70_000, 'a'));
  assert.ok(scanner.broken, 'an endless inline request');
});

interface Value {
  readonly bytes: string;
}
const leaf = fc.oneof(
  fc.constantFrom('+OK\r\n', '-ERR no\r\n', ':42\r\n', '_\r\n', '#t\r\n', ',1.5\r\n', '(12345\r\n'),
  fc.constantFrom('$-1\r\n', '*-1\r\n', '$0\r\n\r\n', '*0\r\n', '%0\r\n', '~0\r\n'),
  fc.string({ maxLength: 12 }).map((text) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`),
  fc.constant('=7\r\ntxt:a\r\n\r\n'),
  fc.constant('!5\r\nERR x\r\n'),
);
const { value } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    leaf,
    fc
      .array(tie('value'), { maxLength: 3 })
      .map((parts) => `*${parts.length}\r\n${parts.join('')}`),
    fc
      .array(tie('value'), { maxLength: 3 })
      .map((parts) => `~${parts.length}\r\n${parts.join('')}`),
    fc
      .array(fc.tuple(tie('value'), tie('value')), { maxLength: 2 })
      .map((pairs) => `%${pairs.length}\r\n${pairs.flat().join('')}`),
  ),
}));
const push = fc
  .tuple(fc.constantFrom('message', 'invalidate', 'subscribe'), value)
  .map(([kind, rest]): Value & { kind: string } => ({
    kind,
    bytes: `>2\r\n$${kind.length}\r\n${kind}\r\n${rest}`,
  }));

test('replies: values and pushes are told apart and counted, however they are cut', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(value, push), { maxLength: 10 }), cuts, (stream, sizes) => {
      const seen: string[] = [];
      const scanner = new ReplyScanner({
        reply: (isError) => seen.push(isError ? 'error' : 'reply'),
        push: (kind) => seen.push(`push ${kind}`),
      });
      const text = stream.map((part) => (typeof part === 'string' ? part : part.bytes)).join('');
      inPieces(Buffer.from(text), sizes, (piece) => scanner.feed(piece));
      const expected = stream.map((part) => {
        if (typeof part !== 'string') return `push ${part.kind}`;
        return part.startsWith('-') || part.startsWith('!') ? 'error' : 'reply';
      });
      assert.deepEqual(seen, expected);
      assert.ok(scanner.atBoundary);
    }),
  );
});

test('replies: any bytes end in a state; half a reply is not a boundary', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }), (chunks) => {
      const scanner = new ReplyScanner({ reply: () => {}, push: () => {} });
      for (const chunk of chunks) scanner.feed(chunk);
      assert.ok(!(scanner.broken && scanner.atBoundary));
    }),
  );
  const scanner = new ReplyScanner({ reply: () => {}, push: () => {} });
  for (const part of ['*2\r\n', '$3\r\nab', 'c\r\n', '|1\r\n+a\r\n']) {
    scanner.feed(Buffer.from(part));
    assert.equal(scanner.atBoundary, false, part);
  }
});

test('replies: an attribute belongs to what follows', () => {
  let replies = 0;
  const scanner = new ReplyScanner({ reply: () => replies++, push: () => assert.fail('a push') });
  scanner.feed(Buffer.from('|1\r\n+ttl\r\n:5\r\n'));
  assert.equal(replies, 0);
  assert.equal(scanner.atBoundary, false);
  scanner.feed(Buffer.from('+OK\r\n'));
  assert.equal(replies, 1);
  assert.ok(scanner.atBoundary);
});

function talk() {
  const heard: string[] = [];
  const exchange = new Exchange({
    loggedIn: (user) => heard.push(`in ${user}`),
    loginFailed: (user) => heard.push(`failed ${user}`),
    named: (name) => heard.push(`named ${name}`),
  });
  return {
    heard,
    exchange,
    ask: (...lines: string[]) => {
      for (const line of lines) {
        exchange.request(multibulk(line.split(' ').map((word) => Buffer.from(word))));
      }
      return exchange.inFlight;
    },
    answer: (text: string) => {
      exchange.reply(Buffer.from(text));
      return exchange.inFlight;
    },
  };
}

test('exchange: plain commands, pipelined, and half of a reply', () => {
  const { ask, answer } = talk();
  assert.equal(ask('GET a', 'SET a b', 'MULTI', 'GET a', 'EXEC'), 5);
  assert.equal(answer('$1\r\n1\r\n+OK\r\n+O'), 3);
  assert.equal(answer('K\r\n+QUEUED\r\n*1\r\n'), 1);
  assert.equal(answer('$1\r\n1\r\n'), 0);
});

test('exchange: a blocking command and what waits behind it are not in flight', () => {
  const { ask, answer, exchange } = talk();
  assert.equal(ask('GET a', 'BLPOP q 0', 'GET b'), 1);
  assert.equal(answer('$-1\r\n'), 0);
  assert.equal(exchange.unanswered, 2);
  assert.equal(answer('*2\r\n$1\r\nq\r\n$1\r\nx\r\n'), 1);
  assert.equal(answer('$-1\r\n'), 0);
  assert.equal(ask('XREAD BLOCK 0 STREAMS s 0'), 0);
  assert.equal(answer('*-1\r\n'), 0);
  assert.equal(ask('XREAD STREAMS s 0'), 1);
});

test('exchange: SUBSCRIBE streams in RESP2, and is answered by a push in RESP3', () => {
  const two = talk();
  assert.equal(two.ask('SUBSCRIBE a'), 1);
  assert.equal(two.answer('*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n'), 0);
  assert.equal(two.exchange.streaming, true);
  assert.equal(two.exchange.unanswered, null);

  const three = talk();
  assert.equal(three.ask('HELLO 3', 'SUBSCRIBE a b', 'GET x'), 3);
  assert.equal(three.answer('%1\r\n+proto\r\n:3\r\n'), 2);
  assert.equal(three.answer('>3\r\n$7\r\nmessage\r\n$1\r\nz\r\n$1\r\nm\r\n'), 2);
  assert.equal(three.answer('>3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n'), 1);
  assert.equal(three.answer('>3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n'), 1);
  assert.equal(three.answer('$-1\r\n'), 0);
  assert.equal(three.ask('SUBSCRIBE secret', 'GET x'), 2);
  assert.equal(three.answer('-NOPERM no\r\n'), 1, 'an error answers it instead');
  assert.equal(three.answer('$-1\r\n'), 0);
});

test('exchange: MONITOR, CLIENT REPLY OFF, broken streams', () => {
  const monitor = talk();
  assert.equal(monitor.ask('MONITOR'), 1);
  assert.equal(monitor.answer('-NOPERM no\r\n'), 0);
  assert.equal(monitor.exchange.streaming, false);
  monitor.ask('MONITOR');
  monitor.answer('+OK\r\n');
  assert.equal(monitor.exchange.streaming, true);

  const off = talk();
  assert.equal(off.ask('GET a', 'CLIENT REPLY OFF', 'SET a b'), 3);
  assert.equal(off.exchange.streaming, false);
  assert.equal(off.answer('$-1\r\n'), 0);
  assert.equal(off.exchange.streaming, true);

  const broken = talk();
  broken.exchange.request(Buffer.from('*1\r\n!!'));
  assert.equal(broken.exchange.streaming, true);
  assert.equal(broken.exchange.atReplyBoundary, true);
  broken.answer('HTTP/1.1');
  assert.equal(broken.exchange.atReplyBoundary, false);
});

test('exchange: who the client is', () => {
  const { ask, answer, heard } = talk();
  ask(
    'AUTH wrong',
    'AUTH app key',
    'HELLO 3 AUTH ann key SETNAME web',
    'CLIENT SETNAME job',
    'RESET',
  );
  answer('-WRONGPASS no\r\n+OK\r\n%0\r\n+OK\r\n+RESET\r\n');
  assert.deepEqual(heard, ['failed default', 'in app', 'named web', 'in ann', 'named job', 'in ']);
});
