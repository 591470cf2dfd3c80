/** Looking and guarding, end to end: what is asked over the API, what clients and engines do. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect, once, type Target, target } from './clients.ts';
import { HEAL_DEADLINE_MS } from './limits.ts';
import { eventually, Service } from './service.ts';

const service = new Service({ miniature: { memoryDivisor: 16, maxShards: 2 } });
before(() => service.up());
after(() => service.close());

async function get(name: string, what: string, query?: string) {
  const path = `${service.database(name)}/${what}`;
  const answer = await service.call('GET', path, undefined, query === undefined ? {} : { query });
  assert.equal(answer.status, 200, answer.text);
  return answer.body;
}

async function guard(name: string, rules: readonly object[]) {
  const answer = await service.call('PATCH', service.database(name), {
    properties: { cinnabar: { guard: rules } },
  });
  if (answer.status === 202) await service.settled(name);
  return answer;
}

const row = (rows: readonly { command: string }[], command: string) =>
  rows.find((each) => each.command === command) as Record<string, unknown> | undefined;

test('behind the endpoint', async (t) => {
  await service.create('seen', {
    sku: 'ComputeOptimized_X3',
    ha: false,
    database: { clusteringPolicy: 'EnterpriseCluster' },
  });
  const to = await target(service, 'seen', 'EnterpriseCluster');
  const redis = once(to);
  await redis.connect();
  t.after(() => redis.disconnect());
  await redis.call('CLIENT', 'SETNAME', 'worker');

  await t.test('rules by the API: validated, stored, in force', async () => {
    const bad: readonly (readonly [object, RegExp])[] = [
      [{ command: 'GET', action: 'refuse' }, /GET cannot have a guard rule.*HGETALL/],
      [{ command: 'HGETAL', action: 'refuse' }, /Did you mean HGETALL\? All that can: docs\/guard/],
      [{ command: 'save', action: 'refuse' }, /never for clients/],
      [{ command: 'KEYS', action: 'refuse', above: 5 }, /no size that a rule could measure/],
      [{ command: 'KEYS', action: 'forbid' }, /must be one of allow, warn, refuse/],
      [{ command: 'HGETALL', action: 'warn', above: -1 }, /above/],
    ];
    for (const [rule, message] of bad) {
      const answer = await guard('seen', [rule]);
      assert.equal(answer.status, 400, JSON.stringify(rule));
      assert.match(answer.body.error.message, message);
    }
    const twice = { command: 'KEYS', action: 'warn' };
    assert.match((await guard('seen', [twice, twice])).body.error.message, /two guard rules/);
    const rules = [
      { command: 'KEYS', action: 'refuse' },
      { command: 'HGetAll', action: 'refuse', above: 3 },
      { command: 'smembers', action: 'warn' },
    ];
    assert.equal((await guard('seen', rules)).status, 202);
    const shown = await service.call('GET', service.database('seen'));
    assert.deepEqual(shown.body.properties.cinnabar.guard, [
      { command: 'keys', action: 'refuse', above: 0 },
      { command: 'hgetall', action: 'refuse', above: 3 },
      { command: 'smembers', action: 'warn', above: 0 },
    ]);
    await redis.hset('h', 'a', 1, 'b', 2, 'c', 3);
    assert.equal(Object.keys(await redis.hgetall('h')).length, 3);
    await redis.hset('h', 'd', 4);
    await assert.rejects(redis.hgetall('h'), /guard-refused: HGETALL .*\(here 4\); use HSCAN/);
    await assert.rejects(redis.keys('*'), /guard-refused: KEYS .*; use SCAN/);
    await redis.sadd('s', 'x');
    assert.deepEqual(await redis.smembers('s'), ['x']);
    // What is refused always is refused by the engine, too: a script is no way around it.
    await assert.rejects(redis.eval("return redis.call('KEYS', '*')", 0), /ACL failure in script/);
    const events = await service.call('GET', '/cinnabar/events', undefined, {
      query: 'cluster=seen',
    });
    const reasons = events.body.value.map((each: { reason: string }) => each.reason);
    assert.ok(reasons.includes('guard-refuse') && reasons.includes('guard-warn'), `${reasons}`);
  });

  await t.test('stats, large, clients, slow log', async () => {
    await redis.set('large', Buffer.alloc(300_000, 'x'));
    await redis.get('large');
    const total = await get('seen', 'stats');
    assert.equal(total.source, 'endpoint');
    assert.equal(row(total.commands, 'hset')?.['calls'], 2);
    assert.deepEqual(row(total.expensive, 'hgetall'), {
      command: 'hgetall',
      rule: { command: 'hgetall', action: 'refuse', above: 3 },
      calls: 2,
      warned: 0,
      refused: 1,
    });
    assert.equal(row(total.expensive, 'keys')?.['refused'], 1);
    assert.equal(row(total.expensive, 'smembers')?.['warned'], 1);
    assert.ok(Number(row(total.commands, 'get')?.['largestReplyBytes']) >= 300_000);
    assert.ok(total.connections >= 1 && total.opened >= 1 && total.bytesIn > 300_000);

    let going = true;
    const load = (async () => {
      while (going) await redis.set('k', 'v');
    })();
    const second = await get('seen', 'stats', 'seconds=1');
    going = false;
    await load;
    const set = row(second.commands, 'set');
    assert.ok(Number(set?.['callsPerSecond']) > 0, JSON.stringify(set));
    assert.ok(Number(set?.['p50Us']) > 0 && Number(set?.['p99Us']) >= Number(set?.['p50Us']));
    assert.equal(row(second.commands, 'hset'), undefined, 'not in this second');

    const large = (await get('seen', 'large')).value;
    assert.deepEqual(
      large.map((l: { kind: string; key: string }) => `${l.kind} ${l.key}`).toSorted(),
      ['large-reply large', 'large-request large'],
    );
    const [mine] = (await get('seen', 'clients')).value.filter(
      (each: { name: string }) => each.name === 'worker',
    );
    assert.equal(mine.user, 'default');
    assert.ok(mine.tls && mine.latency.p99Us > 0 && mine.bytesIn > 300_000);
    await redis.eval('local x = 0 for i = 1, 3000000 do x = x + i end return x', 0);
    const slow = (await get('seen', 'slowlog')).value;
    assert.match(slow[0].command.join(' '), /^EVAL local x/i);
    assert.ok(slow[0].us > 1000);

    const path = `${service.database('seen')}/clients`;
    assert.equal((await service.call('POST', `${path}/1-1/kill`)).status, 404);
    assert.equal((await service.call('POST', `${path}/${mine.id}/kill`)).status, 204);
    await eventually('it is out', HEAL_DEADLINE_MS, () => redis.status === 'end' || null);
  });

  await t.test('Prometheus', async () => {
    const answer = await service.call('GET', '/metrics');
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
    const labels = 'cache="seen",group="default"';
    for (const line of [
      `cinnabar_commands_total{${labels},command="hset"} 2`,
      `cinnabar_guard_total{${labels},command="keys",action="refused"} 1`,
      `cinnabar_connections_closed_total{${labels},reason="killed"} 1`,
      `cinnabar_command_reply_bytes_bucket{${labels},command="hset",le="+Inf"} 2`,
    ]) {
      assert.ok(answer.text.includes(`${line}\n`), `${line}\nin\n${answer.text}`);
    }
    for (const line of answer.text.trimEnd().split('\n')) {
      assert.match(line, /^(# (HELP|TYPE) cinnabar_\w+ .+|cinnabar_\w+\{[^}]*\} [0-9.e+-]+)$/);
    }
    const stranger = await fetch(`${service.status.api.http}/metrics`);
    assert.equal(stranger.status, 401);
  });
});

test('OSSCluster, where clients are direct', async (t) => {
  await service.create('direct', {
    sku: 'ComputeOptimized_X3',
    ha: true,
    database: { clusteringPolicy: 'OSSCluster' },
  });
  const to: Target = await target(service, 'direct', 'OSSCluster');
  await service.healthy('direct');
  const seed = once(to);
  await seed.connect();
  const client = connect(to);
  t.after(() => {
    seed.disconnect();
    client.close();
  });
  // A busy engine is not seen for what it is for a moment.
  const primary = (shard: number) =>
    eventually(`the primary of shard ${shard}`, HEAL_DEADLINE_MS, async () => {
      const { instances = [] } = (await service.shards('direct'))[shard] ?? {};
      return instances.find((each) => each.role === 'primary')?.instance ?? null;
    });

  await t.test('limits are the engine’s', async () => {
    const { body } = await service.call('GET', service.database('direct'));
    const { databaseId, socket } = await primary(0);
    const engine = await service.engine(socket, databaseId);
    t.after(() => engine.close());
    const settings = await engine.readSettings(
      ['maxclients', 'timeout', 'client-output-buffer-limit'],
      HEAL_DEADLINE_MS,
    );
    const { maxConnections, outputBufferBytes } = body.properties.cinnabar.sizing;
    assert.ok(Number(settings['maxclients']) >= Math.min(maxConnections, 1000));
    assert.equal(settings['timeout'], '600');
    assert.match(
      settings['client-output-buffer-limit'] ?? '',
      new RegExp(`normal ${outputBufferBytes} 0 0`),
    );
  });

  await t.test('guard: always or never, and seen after the fact', async () => {
    const sized = await guard('direct', [{ command: 'HGETALL', action: 'refuse', above: 10 }]);
    assert.equal(sized.status, 400);
    assert.match(sized.body.error.message, /OSSCluster.*choose warn/);
    const set = await guard('direct', [
      { command: 'KEYS', action: 'refuse' },
      { command: 'HGETALL', action: 'warn', above: 10 },
    ]);
    assert.equal(set.status, 202, set.text);
    const direct = once(to, { port: (await primary(0)).port });
    await direct.connect();
    await assert.rejects(direct.keys('*'), /NOPERM/);
    await assert.rejects(direct.eval("return redis.call('KEYS', '*')", 0), /ACL failure in script/);
    await assert.rejects(seed.keys('*'), /guard-refused: KEYS/);
    await client.call('HSET', 'h', 'f', 'v');
    await client.call('HGETALL', 'h');
    const { source, note, expensive } = await get('direct', 'stats');
    assert.equal(source, 'engines');
    assert.match(note, /no bytes per command/);
    assert.ok(Number(row(expensive, 'keys')?.['refused']) >= 2);
    assert.ok(Number(row(expensive, 'hgetall')?.['calls']) >= 1);
    direct.disconnect();
  });

  await t.test('stats, large, clients and slow log are the engines’', async () => {
    for (let i = 0; i < 50; i++) await client.call('SET', `k${i}`, 'v');
    const { commands } = await get('direct', 'stats');
    const set = row(commands, 'set');
    assert.ok(Number(set?.['calls']) >= 50 && Number(set?.['p99Us']) > 0);
    assert.equal(set?.['replyBytes'], null);
    await client.call('SET', 'large', 'x'.repeat(300_000));
    await client.call('GET', 'large');
    const large = (await get('direct', 'large')).value;
    const kinds = large.filter((l: { key: string }) => l.key === 'large');
    assert.deepEqual(
      kinds.map((l: { kind: string }) => l.kind).toSorted(),
      ['large-reply', 'large-request'],
      JSON.stringify(large).slice(0, 500),
    );
    // Not once a copy, and not as if a copy's primary were the client.
    assert.ok(
      kinds.every((l: { count: number }) => l.count === 1),
      JSON.stringify(kinds),
    );
    const direct = once(to, { port: (await primary(0)).port });
    await direct.connect();
    await direct.call('CLIENT', 'SETNAME', 'one-of-many');
    const listed = await get('direct', 'clients');
    assert.match(listed.note, /is not seen/);
    const mine = listed.value.find((each: { name: string }) => each.name === 'one-of-many');
    assert.ok(mine !== undefined, JSON.stringify(listed.value).slice(0, 500));
    assert.ok(!listed.value.some((each: { user: string }) => each.user === 'admin'));
    const path = `${service.database('direct')}/clients/${encodeURIComponent(mine.id)}/kill`;
    assert.equal((await service.call('POST', path)).status, 204);
    await eventually('it is out', HEAL_DEADLINE_MS, () => direct.status === 'end' || null);
    assert.equal((await service.call('POST', path)).status, 404);
    await client.call('EVAL', 'local x = 0 for i = 1, 3000000 do x = x + i end return x', 0);
    // On a slow machine other commands stand there as well, of the same second.
    const slow = (await get('direct', 'slowlog')).value.find(({ command }: { command: string[] }) =>
      /^EVAL local x/i.test(command.join(' ')),
    );
    assert.ok(slow !== undefined);
    assert.notEqual(slow.client, '');
  });

  await t.test(
    'what Cinnabar itself asked for is left out of the slow log, unless all is wanted',
    async () => {
      const { socket, databaseId } = await primary(0);
      const own = await service.engine(socket, databaseId);
      const script = 'local own = 0 for i = 1, 3000000 do own = own + i end return own';
      await own.command(['EVAL', script, '0'], HEAL_DEADLINE_MS);
      own.close();
      const isIt = ({ command }: { command: string[] }): boolean => command[1] === script;
      const shown = await get('direct', 'slowlog');
      assert.equal(shown.value.find(isIt), undefined);
      assert.ok(shown.own >= 1);
      const all = await get('direct', 'slowlog', 'all=true');
      assert.equal(all.value.find(isIt)?.name, 'cinnabar-control');
      assert.equal(all.own, 0);
      const path = `${service.database('direct')}/slowlog`;
      const wrong = await service.call('GET', path, undefined, { query: 'all=1' });
      assert.equal(wrong.status, 400);
    },
  );

  await t.test('figures of a second do not say that they are since the start', async () => {
    assert.match((await get('direct', 'stats', 'seconds=1')).note, /of the engines of 1 s\./);
    assert.match((await get('direct', 'stats')).note, /of the engines since each started\./);
  });

  await t.test(
    'a killed primary is out of CLUSTER SLOTS at once, and its successor is in',
    async () => {
      const victim = await primary(1);
      assert.ok(victim.process !== null);
      // Later it is back, as a replica: all three are asked at once.
      const named = async (): Promise<boolean> => {
        const asked = ['SLOTS', 'SHARDS', 'NODES'].map((what) => seed.call('CLUSTER', what));
        return JSON.stringify(await Promise.all(asked)).includes(victim.id);
      };
      assert.equal(await named(), true);
      const { instances = [] } = (await service.shards('direct'))[1] ?? {};
      const replica = instances.find((each) => each.role === 'replica')?.instance;
      assert.ok(replica);
      const successor = await service.engine(replica.socket, replica.databaseId);
      let promotedAt = 0;
      const killedAt = performance.now();
      process.kill(victim.process.pid, 'SIGKILL');
      await eventually('the dead one is not named', HEAL_DEADLINE_MS, async () =>
        (await named()) ? null : true,
      );
      const goneMs = performance.now() - killedAt;
      await eventually('all slots have a primary', HEAL_DEADLINE_MS, async () => {
        const [role, slots] = await Promise.all([
          successor.command(['ROLE'], HEAL_DEADLINE_MS),
          seed.call('CLUSTER', 'SLOTS'),
        ]);
        if (promotedAt === 0 && String(role).startsWith('master')) promotedAt = performance.now();
        const ranges = slots as [number, number, ...unknown[]][];
        const covered = ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);
        return covered === 16_384 ? true : null;
      });
      const namedAt = performance.now();
      successor.close();
      assert.ok(promotedAt > 0);
      t.diagnostic(
        `the dead one left out ${goneMs.toFixed(0)} ms after its SIGKILL; its successor named ${(namedAt - promotedAt).toFixed(0)} ms after it was promoted, ${(namedAt - killedAt).toFixed(0)} ms after the kill`,
      );
    },
  );
});
