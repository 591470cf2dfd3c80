/**
 * The same random commands, in the same random cuts, to the endpoint over three shards and to a bare
 * engine: the same bytes back. Keys of commands that need one slot share a hash tag; keys of MGET,
 * DEL and the like are of any slot, because that is what the endpoint adds.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeCommand } from '../../resp/index.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, startBare, startShards } from './testing-engines.ts';

const SEQUENCES = 30;
const COMMANDS = 120;

function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

type Word = string | Buffer;

/** One command by the seed. Nothing whose answer depends on time, chance or table order. */
function makeCommand(next: () => number): Word[] {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;
  const n = (max: number): number => Math.floor(next() * max);
  const any = (kind: string): string => `${kind}:${n(12)}`;
  const tagged = (kind: string): string => `{t${n(3)}}${kind}${n(3)}`;
  const tag = `{t${n(3)}}`;
  const value = (): Word =>
    pick<() => Word>([
      () => String(n(1000)),
      () => '',
      () => Buffer.from([n(256), 13, 10, n(256), 0]),
      () => 'x'.repeat(n(3000)),
      () => 'y'.repeat(n(100) === 0 ? 200_000 : 10),
    ])();
  const makers: (() => Word[])[] = [
    () => ['SET', any('s'), value()],
    () => ['GET', any('s')],
    () => ['get', any('s')],
    () => ['GETDEL', any('s')],
    () => ['APPEND', any('s'), value()],
    () => ['INCR', any('n')],
    () => ['INCRBY', any('s'), String(n(9))],
    () => ['STRLEN', any('s')],
    () => ['SETRANGE', any('s'), String(n(50)), 'abc'],
    () => ['MGET', any('s'), any('s'), any('h'), any('none')],
    () => ['MSET', any('s'), value(), any('s'), value()],
    () => ['MSET', any('s'), value(), any('s')],
    () => ['MSETNX', `${tag}a`, '1', `${tag}b`, '2'],
    () => ['DEL', any('s'), any('h'), any('l')],
    () => ['UNLINK', any('s'), any('z')],
    () => ['EXISTS', any('s'), any('s'), any('h')],
    () => ['TOUCH', any('s'), any('l')],
    () => ['HSET', any('h'), `f${n(5)}`, value()],
    () => ['HGETALL', any('h')],
    () => ['HMGET', any('h'), 'f1', 'f2', 'f9'],
    () => ['HINCRBY', any('h'), 'f1', '3'],
    () => ['HSET', any('h'), 'f1'],
    () => ['LPUSH', any('l'), value(), 'b'],
    () => ['LRANGE', any('l'), '0', '-1'],
    () => ['RPOP', any('l'), '2'],
    () => ['LINDEX', any('l'), String(n(5))],
    () => ['SADD', any('i'), String(n(50)), String(n(50))],
    () => ['SMEMBERS', any('i')],
    () => ['ZADD', any('z'), String(n(100) / 4), `m${n(8)}`],
    () => ['ZRANGE', any('z'), '0', '-1', 'WITHSCORES'],
    () => ['ZSCORE', any('z'), `m${n(8)}`],
    () => ['ZPOPMIN', any('z'), '2'],
    () => ['TYPE', any(pick(['s', 'h', 'l', 'z']))],
    () => ['EXPIRE', any('s'), '10000'],
    () => ['PERSIST', any('s')],
    () => ['RENAME', `${tag}a`, `${tag}b`],
    () => ['SINTERSTORE', `${tag}i`, `${tag}x`, `${tag}y`],
    () =>
      ['ZUNIONSTORE', tagged('z'), '1', tagged('q').replace(/^{t\d}/, tag)].map((w, i) =>
        i === 1 ? `${tag}u` : w,
      ),
    () => ['SORT', any('l'), 'ALPHA'],
    () => ['BITCOUNT', any('s')],
    () => ['SETBIT', any('b'), String(n(100)), '1'],
    () => ['GEOADD', any('g'), '13.361389', '38.115556', 'Palermo'],
    () => ['GEOPOS', any('g'), 'Palermo', 'None'],
    () => ['PFADD', any('p'), String(n(10))],
    () => ['PFCOUNT', any('p')],
    () => ['XADD', any('x'), `${n(1000) + 1}-1`, 'f', value()],
    () => ['XRANGE', any('x'), '-', '+', 'COUNT', '3'],
    () => ['XREAD', 'COUNT', '2', 'STREAMS', any('x'), '0'],
    () => ['OBJECT', 'ENCODING', any('s')],
    () => ['EVAL', "return {KEYS[1],ARGV[1],redis.call('incr',KEYS[1])}", '1', any('n'), 'v'],
    () => ['EVAL', 'return {1,{2,{3,false}},"x"}', '0'],
    () => ['EVAL', "return redis.error_reply('MY mistake')", '0'],
    () => ['EVALSHA', 'f'.repeat(40), '0'],
    () => ['BLPOP', any('l'), '0.01'],
    () => ['BZPOPMIN', any('z'), '0.01'],
    () => ['LMPOP', '1', any('l'), 'LEFT', 'COUNT', '2'],
    () => ['BLMPOP', '0.01', '1', any('l'), 'LEFT'],
    () => ['PING'],
    () => ['PING', value()],
    () => ['ECHO', value()],
    () => ['SELECT', 'x'],
    () => ['NOSUCH', 'a b', 'c'],
    () => ['GET'],
    () => ['OBJECT', 'NOSUCH', 'a'],
    () => ['GET', any('h')],
    () => ['LPUSH', any('s'), '1'],
    () => ['DBSIZE'],
    () => ['CLIENT', 'GETNAME'],
    () => ['CLIENT', 'SETNAME', pick(['me', 'with space'])],
    () => ['CLIENT', 'SETINFO', 'lib-name', 'test'],
    () => ['SCRIPT', 'EXISTS', 'a'.repeat(40), 'b'.repeat(40)],
    () => ['SCRIPT', 'LOAD', 'return 7'],
    () => ['COMMAND', 'COUNT'],
    () => ['WAIT', '0', '10'],
    () => ['DUMP', any('none')],
    () => ['LCS', `${tag}a`, `${tag}b`],
    () => ['SHUTDOWNX'],
  ];
  return pick(makers)();
}

/** Now and then a transaction: on keys of one slot, sometimes with mistakes in it. */
function makeSome(next: () => number): Word[][] {
  if (next() < 0.02) {
    const off = next() < 0.5;
    return [
      ['CLIENT', 'REPLY', off ? 'OFF' : 'SKIP'],
      makeCommand(next),
      ...(off ? [makeCommand(next), ['CLIENT', 'REPLY', 'ON']] : []),
    ];
  }
  if (next() > 0.07) return [makeCommand(next)];
  const tag = `{t${Math.floor(next() * 3)}}`;
  const inner: Word[][] = [
    ['SET', `${tag}s`, 'v'],
    ['INCR', `${tag}n`],
    ['LPUSH', `${tag}s`, 'wrong type'],
    ['GET', `${tag}s`],
    ['BLPOP', `${tag}none`, '0'],
    ['PING'],
    ['MGET', `${tag}s`, `${tag}n`],
    ['EVAL', "return redis.call('get',KEYS[1])", '1', `${tag}n`],
    ['CLIENT', 'SETNAME', `in-${tag}`],
    ['CLIENT', 'GETNAME'],
    ['DBSIZE'],
    ['SCRIPT', 'EXISTS', 'a'.repeat(40)],
    ['PUBSUB', 'NUMPAT'],
    ['PUBLISH', 'nobody', 'x'],
    ['SELECT', '0'],
  ];
  const wrong: Word[][] = [['GET'], ['NOSUCH'], ['MULTI'], ['WATCH', `${tag}s`]];
  const all: Word[][] = [];
  if (next() < 0.3) all.push(['WATCH', `${tag}s`]);
  if (next() < 0.1) all.push(['SET', `${tag}s`, 'changed by itself']);
  all.push(['MULTI']);
  for (let i = 0; i < 4; i++) {
    all.push(inner[Math.floor(next() * inner.length)] ?? ['PING']);
    if (next() < 0.08) all.push(wrong[Math.floor(next() * wrong.length)] ?? ['GET']);
  }
  all.push(next() < 0.15 ? ['DISCARD'] : ['EXEC']);
  if (next() < 0.1) all.push(['EXEC']);
  return all;
}

function cut(bytes: Buffer, next: () => number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = next() < 0.5 ? 1 + Math.floor(next() * 40) : 1 + Math.floor(next() * 20_000);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

test('random commands: byte for byte what a bare engine answers', async (t) => {
  const { views } = await startShards(t, 3);
  const bare = await startBare(t);
  const running = await startProxy({ shards: views, keys: { default: KEY }, workers: 2 });
  t.after(() => running.close());
  for (let seed = 1; seed <= SEQUENCES; seed++) {
    const next = random(seed * 7919);
    const protocol = seed % 2 === 0 ? 3 : 2;
    const ours = await RawClient.open(running.port, protocol);
    const theirs = await RawClient.open(bare.launch.socket, protocol);
    await ours.ask('FLUSHALL');
    await theirs.ask('FLUSHALL');
    const units: Word[][][] = [];
    while (units.length < COMMANDS) units.push(makeSome(next));
    const commands = units.flat();
    const bytes = Buffer.concat(commands.map((command) => encodeCommand(command)));
    for (const piece of cut(bytes, next)) {
      ours.socket.write(piece);
      if (next() < 0.05) await new Promise((resolve) => setImmediate(resolve));
    }
    theirs.socket.write(bytes);
    const [a, b] = await Promise.all([ours.settled(), theirs.settled()]);
    if (!a.equals(b)) {
      // One by one, to name the command.
      await ours.ask('FLUSHALL');
      await theirs.ask('FLUSHALL');
      for (const unit of units) {
        ours.send(...unit);
        theirs.send(...unit);
        const [x, y] = await Promise.all([ours.settled(), theirs.settled()]);
        const what = unit.map((command) => command.map(String).join(' ').slice(0, 300)).join(' | ');
        assert.equal(
          x.toString('latin1'),
          y.toString('latin1'),
          `seed ${seed}, RESP${protocol}: ${what}`,
        );
      }
      const at = a.findIndex((byte, i) => byte !== b[i]);
      assert.fail(
        `seed ${seed}: only in a pipeline, at ${at}: ${a.toString('latin1', at - 200, at + 80)} | ${b.toString('latin1', at - 80, at + 80)}`,
      );
    }
    ours.close();
    theirs.close();
  }
});
