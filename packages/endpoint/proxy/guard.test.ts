/** Guard rules: what they mean (tables), and what they do on real shards. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { EXPENSIVE } from '../../resp/table/index.ts';
import type { GuardRule } from '../control-protocol.ts';
import { judge, mostOf, refusal } from './guard.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, startShards } from './testing-engines.ts';

const rule = (command: string, action: GuardRule['action'], above = 0): GuardRule => ({
  command,
  action,
  above,
});

test('the most that arguments can mean', () => {
  const cases: readonly (readonly [string, number])[] = [
    ['lrange k 0 99', 100],
    ['lrange k 0 -1', Infinity],
    ['lrange k 5 4', 0],
    ['lrange k -10 -1', 10],
    ['lrange k -5 10', 5],
    ['lrange k -50 10', 11],
    ['lrange k x 10', 0],
    ['lrange k 0', 0],
    ['zrange k 0 9', 10],
    ['zrange k 0 9 REV WITHSCORES', 10],
    ['zrange k 0 9 BYSCORE', Infinity],
    ['zrange k (1 5 byscore limit 10 20', 30],
    ['zrange k - + BYLEX LIMIT 0 -1', Infinity],
    ['zrevrange k 0 -1', Infinity],
    ['zrevrange k 0 0', 1],
    ['zrangebyscore k -inf +inf', Infinity],
    ['zrangebyscore k -inf +inf WITHSCORES LIMIT 0 50', 50],
    ['zrevrangebylex k + - limit 100000 1', 100001],
    ['xrange k - + COUNT 7', 7],
    ['xrange k - +', Infinity],
    ['xrevrange k + - count x', 0],
    ['hgetall k', Infinity],
    ['sort k LIMIT 0 1', Infinity],
  ];
  for (const [line, most] of cases) {
    const words = line.split(' ');
    assert.equal(mostOf(words[0] ?? '', words), most, line);
  }
});

test('a rule and a command: pass, warn, refuse, or measure', () => {
  const cases: readonly (readonly [GuardRule, string, string])[] = [
    [rule('keys', 'allow'), 'keys *', 'pass'],
    [rule('keys', 'warn'), 'keys *', 'warn'],
    [rule('keys', 'refuse'), 'keys *', 'refuse'],
    // Nothing about KEYS can be measured: a limit that got in anyway counts as none.
    [rule('keys', 'refuse', 10), 'keys *', 'refuse'],
    [rule('hgetall', 'refuse'), 'hgetall h', 'refuse'],
    [rule('hgetall', 'refuse', 10), 'hgetall h', 'measure refuse'],
    [rule('hgetall', 'warn', 10), 'hgetall h', 'measure warn'],
    [rule('lrange', 'refuse', 100), 'lrange l 0 99', 'pass'],
    [rule('lrange', 'refuse', 100), 'lrange l 0 100', 'measure refuse'],
    [rule('xrange', 'warn', 100), 'xrange s - + COUNT 101', 'measure warn'],
  ];
  for (const [each, line, verdict] of cases) {
    const judged = judge(each, line.split(' '));
    const text = judged.kind === 'measure' ? `measure ${judged.action}` : judged.kind;
    assert.equal(text, verdict, `${JSON.stringify(each)} ${line}`);
  }
});

test('every refusal explains and names another way', () => {
  for (const [name, { counts, instead }] of EXPENSIVE) {
    const text = refusal(rule(name, 'refuse', counts === null ? 0 : 7), counts === null ? null : 8);
    assert.match(text, /^-ERR guard-refused: [^\r\n]+\r\n$/);
    assert.ok(text.includes(name.toUpperCase()) && text.includes(`; use ${instead}`), text);
    if (counts !== null) assert.ok(text.includes(`above 7 ${counts}`) && text.includes('(here 8)'));
  }
});

test('rules on three shards', async (t) => {
  const { views, shards } = await startShards(t, 3);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const a = await RawClient.open(running.port);
  const b = await RawClient.open(running.port, 3);
  t.after(() => {
    for (const client of [a, b]) client.close();
  });
  const guard = (...rules: readonly GuardRule[]): void => running.apply({ guard: rules });

  const fill: (readonly string[])[] = [];
  for (const n of ['1', '2', '3', '4', '5']) {
    for (const tag of ['', '{a}', '{b}', '{c}']) {
      fill.push(
        ['HSET', `h${tag}`, `f${n}`, `v${n}`],
        ['RPUSH', `l${tag}`, n],
        ['SADD', `s${tag}`, n],
        ['ZADD', `z${tag}`, n, `m${n}`],
        ['XADD', `x${tag}`, `${n}-1`, 'f', n],
      );
    }
  }
  a.send(...fill);
  await a.settled();

  const READS: readonly (readonly string[])[] = [
    ['HGETALL', 'h'],
    ['HKEYS', 'h'],
    ['HVALS', 'h'],
    ['SMEMBERS', 's'],
    ['SINTER', 's{a}', 'l{a}x', 's{a}'],
    ['SUNION', 's{a}', 's{a}'],
    ['SDIFF', 's{a}', 's{a}'],
    ['LRANGE', 'l', '0', '-1'],
    ['ZRANGE', 'z', '0', '-1', 'WITHSCORES'],
    ['ZRANGE', 'z', '-inf', '+inf', 'BYSCORE'],
    ['ZREVRANGE', 'z', '0', '-1'],
    ['ZRANGEBYSCORE', 'z', '(1', '+inf', 'WITHSCORES'],
    ['ZREVRANGEBYSCORE', 'z', '+inf', '-inf'],
    ['ZRANGEBYLEX', 'z', '-', '+'],
    ['ZREVRANGEBYLEX', 'z', '+', '-'],
    ['ZUNION', '2', 'z{b}', 'z{b}', 'WITHSCORES'],
    ['ZINTER', '2', 'z{b}', 'z{b}'],
    ['ZDIFF', '2', 'z{b}', 'none{b}'],
    ['XRANGE', 'x', '-', '+'],
    ['XREVRANGE', 'x', '+', '-'],
    ['SORT', 'l', 'DESC'],
    ['SORT_RO', 's'],
    ['SORT', 'l{c}', 'STORE', 'd{c}'],
    ['SUNIONSTORE', 'd{c}', 's{c}', 's{c}'],
    ['SINTERSTORE', 'd{c}', 's{c}'],
    ['SDIFFSTORE', 'd{c}', 's{c}', 'none{c}'],
    ['ZUNIONSTORE', 'd{c}', '1', 'z{c}'],
    ['ZINTERSTORE', 'd{c}', '1', 'z{c}'],
    ['ZDIFFSTORE', 'd{c}', '1', 'z{c}'],
    ['ZRANGESTORE', 'd{c}', 'z{c}', '0', '-1'],
    // What is wrong with a command is still the engine's to say.
    ['HGETALL', 'l'],
    ['LRANGE', 'l', '0', 'x'],
    ['ZUNION', '0', 'z'],
  ];
  const measurable = [...EXPENSIVE].filter(([, about]) => about.counts !== null);

  await t.test('below the limit every reply is the engine’s own, in RESP2 and RESP3', async () => {
    const covered = new Set(READS.map(([name = '']) => name.toLowerCase()));
    assert.deepEqual(
      measurable.map(([name]) => name).filter((name) => !covered.has(name)),
      [],
    );
    for (const client of [a, b]) {
      for (const command of READS) {
        guard();
        const without = await client.ask(...command);
        guard(...measurable.map(([name]) => rule(name, 'refuse', 1000)));
        const within = await client.ask(...command);
        const same = (text: string): string[] => text.split('\r\n').toSorted();
        assert.deepEqual(same(within), same(without), command.join(' '));
        // Maps and sets have no order; everything else is byte for byte.
        if (!/^[%~]/.test(without)) assert.equal(within, without, command.join(' '));
      }
    }
  });

  await t.test(
    'above it every one is refused with its size, and nothing was executed',
    async () => {
      guard(...measurable.map(([name]) => rule(name, 'refuse', 3)));
      for (const command of READS.slice(0, -3)) {
        const text = await a.ask(...command);
        const [name = ''] = command;
        assert.match(text, new RegExp(`^-ERR guard-refused: ${name} is refused above 3 `), text);
        assert.match(text, /\(here (5|10)\); use /, text);
      }
      assert.match(await a.ask('LRANGE', 'l', '0', '2'), /^\*3\r\n/, 'bounded by its arguments');
      await a.ask('DEL', 'd{c}');
      assert.match(await a.ask('SUNIONSTORE', 'd{c}', 's{c}'), /guard-refused/);
      assert.equal(await a.ask('EXISTS', 'd{c}'), ':0\r\n');
      const counts = running.proxy.counters().guard;
      assert.ok((counts['hgetall']?.refused ?? 0) > 0);
    },
  );

  await t.test('it keeps its place in a pipeline, and neighbours are not held up', async () => {
    guard(rule('hgetall', 'refuse', 3));
    a.send(
      ['HSET', 'p', 'a', '1'],
      ['HGETALL', 'p'],
      ['GET', 'none'],
      ['HSET', 'p', 'b', '1', 'c', '1', 'd', '1'],
      ['HGETALL', 'p'],
      ['GET', 'none'],
    );
    const text = (await a.settled()).toString();
    assert.match(
      text,
      /^:1\r\n\*2\r\n\$1\r\na\r\n\$1\r\n1\r\n\$-1\r\n:3\r\n-ERR guard-refused: HGETALL .*\(here 4\).*\r\n\$-1\r\n$/,
    );
  });

  await t.test('no race: the size is that of the moment in which it would run', async () => {
    guard(rule('lrange', 'refuse', 500));
    await a.ask('DEL', 'race');
    const writer = await RawClient.open(running.port);
    for (let i = 0; i < 1000; i++) writer.send(['RPUSH', 'race', 'x']);
    let most = 0;
    for (let i = 0; i < 200; i++) {
      const length = /^\*(\d+)\r\n/.exec(await a.ask('LRANGE', 'race', '0', '-1'));
      most = Math.max(most, Number(length?.[1] ?? 0));
    }
    await writer.settled();
    assert.ok(most <= 500, `${most} elements came through`);
    assert.match(await a.ask('LRANGE', 'race', '0', '-1'), /\(here 1000\)/);
    writer.close();
  });

  await t.test('inside MULTI', async () => {
    guard(rule('hgetall', 'refuse', 3), rule('keys', 'refuse'), rule('smembers', 'warn', 3));
    a.send(['MULTI'], ['HSET', 'm', 'a', '1'], ['HGETALL', 'm'], ['EXEC']);
    assert.match((await a.settled()).toString(), /\*2\r\n:1\r\n\*2\r\n\$1\r\na\r\n/);
    a.send(
      ['MULTI'],
      ['SET', 'h:x{m}', '1'],
      ['HSET', '{m}', 'a', '1', 'b', '2', 'c', '3', 'd', '4'],
    );
    a.send(['HGETALL', '{m}'], ['GET', 'h:x{m}'], ['EXEC']);
    assert.match(
      (await a.settled()).toString(),
      /\*4\r\n\+OK\r\n:4\r\n-ERR guard-refused: HGETALL .*\(here 4\).*\r\n\$1\r\n1\r\n$/,
    );
    a.send(['MULTI'], ['KEYS', '*'], ['EXEC']);
    assert.match((await a.settled()).toString(), /guard-refused: KEYS .*\r\n-EXECABORT/);
    const before = running.proxy.counters().guard['smembers']?.warned ?? 0;
    a.send(['MULTI'], ['SMEMBERS', 's'], ['EXEC']);
    assert.match((await a.settled()).toString(), /\*1\r\n\*5\r\n/);
    await eventually(
      'it is warned of',
      () => running.proxy.counters().guard['smembers']?.warned === before + 1,
    );
  });

  await t.test('a warning lets it pass, counts it, and says so once a minute', async () => {
    const said = running.events.length;
    guard(rule('zrange', 'warn', 3), rule('flushdb', 'warn'));
    for (let i = 0; i < 5; i++) assert.match(await a.ask('ZRANGE', 'z', '0', '-1'), /^\*5/);
    assert.match(await a.ask('ZRANGE', 'z', '0', '2'), /^\*3/);
    assert.match(await a.ask('ZRANGE', 'none', '0', '-1'), /^\*0/);
    await eventually(
      'five are counted',
      () => running.proxy.counters().guard['zrange']?.warned === 5,
    );
    assert.equal(await b.ask('FLUSHDB'), '+OK\r\n');
    const events = running.events.slice(said).filter((e) => e.kind === 'limit');
    assert.deepEqual(
      events.map((e) => e.kind === 'limit' && `${e.limit} ${e.detail.split(' by ')[0]}`),
      ["guard-warn warned of ZRANGE on 'z' with 5 elements", 'guard-warn warned of FLUSHDB'],
    );
  });

  await t.test('a rule that goes while a command is on its way: refused in words', async () => {
    await a.ask('HSET', 'going', 'a', '1', 'b', '2', 'c', '3');
    guard(rule('hgetall', 'refuse', 2));
    const pids = shards.map(({ primary }) => primary.process.pid);
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    try {
      a.received = Buffer.alloc(0);
      a.send(['HGETALL', 'going']);
      const onItsWay = (): boolean =>
        running.proxy.world.topology.shards.some(({ inFlight }) => inFlight > 0);
      await eventually('on its way', onItsWay);
      guard();
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGCONT');
    }
    assert.match((await a.settled()).toString(), /^-ERR guard-refused: HGETALL .*\(here 3\)/);
  });

  await t.test('rules for one command leave the others on the short way', async () => {
    guard(rule('keys', 'refuse'), rule('hgetall', 'refuse', 1));
    const { table } = running.proxy;
    assert.equal(table?.named('get')?.plain, true);
    assert.equal(table?.named('hgetall')?.plain, false);
    guard();
    assert.equal(table?.named('hgetall')?.plain, true);
  });

  await t.test('a shard that moved on is followed, measured and all', async () => {
    guard(rule('hgetall', 'refuse', 3));
    await a.ask('HSET', 'moved', 'a', '1');
    // The proxy believes a map in which the shards have changed places: the engine says MOVED.
    const [first, second, third] = running.view.shards;
    assert.ok(first !== undefined && second !== undefined && third !== undefined);
    running.apply({
      shards: [{ ...first, slots: second.slots }, { ...second, slots: first.slots }, third],
    });
    assert.match(await a.ask('HGETALL', 'moved'), /^\*2\r\n\$1\r\na\r\n/);
    running.apply({ shards: shards.map((shard) => shard.view) });
  });
});
