/**
 * What clients of every kind see when their primary dies, and that one which is merely busy is not
 * taken for dead: blocking commands, transactions, WATCH, subscriptions and WAIT, in both protocols,
 * over TLS and without (engine rules 7, 8, 18).
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient } from 'redis';
import { once, type Target, target } from './clients.ts';
import { HEAL_DEADLINE_MS } from './limits.ts';
import { eventually, Service } from './service.ts';

const service = new Service();
before(() => service.up());
after(() => service.close());

/** Another client than the rest of these tests use: it speaks either protocol. */
async function open(to: Target, protocol: 2 | 3) {
  const client = createClient({
    url: `redis${to.ca === null ? '' : 's'}://default:${encodeURIComponent(to.password)}@localhost:${to.port}`,
    RESP: protocol,
    ...(to.ca === null ? {} : { socket: { tls: true as const, ca: to.ca } }),
  });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function primaryOf(name: string) {
  const [shard] = await service.healthy(name);
  const found = shard?.instances.find((each) => each.role === 'primary')?.instance;
  assert.ok(found?.process != null);
  const { id, socket, databaseId } = found;
  return { id, pid: found.process.pid, socket, databaseId };
}

const anotherThan = (name: string, id: string) =>
  eventually('another primary', HEAL_DEADLINE_MS, async () => {
    const now = await primaryOf(name);
    return now.id !== id ? now : null;
  });

async function eventsOf(name: string): Promise<string[]> {
  const { body } = await service.call('GET', '/cinnabar/events', undefined, {
    query: `cluster=${name}&top=200`,
  });
  return (body.value as { reason: string }[]).map(({ reason }) => reason);
}

const said = (answer: Promise<unknown>): Promise<string> =>
  answer.then(
    (value) => `answered ${JSON.stringify(value)}`,
    (error: Error) => error.message,
  );

type Client = Awaited<ReturnType<typeof open>>;

/**
 * EXEC of a client just after the kill. A dying process closes its connections one after the other:
 * the one that carries EXEC may still take it when another is known to be gone. What became of it
 * then nobody can know, and the client is told so: that, and no other error, is an answer too.
 */
async function exec(client: Client): Promise<unknown> {
  try {
    return await client.sendCommand(['EXEC']);
  } catch (error) {
    assert.match((error as Error).message, /^OUTCOMEUNKNOWN /);
    return 'unknown';
  }
}

for (const [protocol, tls, policy] of [
  [2, true, 'EnterpriseCluster'],
  [3, false, 'NoCluster'],
] as const) {
  test(`RESP${protocol}, ${tls ? 'TLS' : 'Plaintext'}, ${policy}: a crash in the middle of everything`, async (t) => {
    const name = `crash-${protocol}`;
    await service.create(name, {
      database: { clusteringPolicy: policy, clientProtocol: tls ? 'Encrypted' : 'Plaintext' },
    });
    const to = await target(service, name, policy, tls);
    const clients = await Promise.all(Array.from({ length: 5 }, () => open(to, protocol)));
    t.after(() => {
      for (const each of clients) each.destroy();
    });
    const [writer, blocked, watching, queueing, listener] = clients;
    assert.ok(writer && blocked && watching && queueing && listener);
    const { id, pid, socket, databaseId } = await primaryOf(name);
    const heard: string[] = [];
    await listener.subscribe('news', (message) => heard.push(message));
    await writer.set('kept', 'yes');
    assert.equal(await writer.sendCommand(['WAIT', '1', '5000']), 1);
    await watching.sendCommand(['WATCH', 'kept']);
    await queueing.sendCommand(['MULTI']);
    await queueing.sendCommand(['SET', 'queued', 'yes']);
    const popped = said(blocked.sendCommand(['BLPOP', 'empty', '30']));
    const engine = await service.engine(socket, databaseId);
    await eventually('it blocks', HEAL_DEADLINE_MS, async () =>
      /blocked_clients:1/.test(String(await engine.command(['INFO', 'clients'], 2_000)))
        ? true
        : null,
    );
    engine.close();

    process.kill(pid, 'SIGKILL');
    assert.match(await popped, /OUTCOMEUNKNOWN|may or may not/, 'an element may have been popped');
    // Nothing was sent of it yet, so the transaction as a whole goes to the new primary. Where its
    // outcome is not known it was the dead one that got it, which did nothing; asked again it runs.
    const executed = await exec(queueing);
    if (executed === 'unknown') {
      assert.equal(await writer.get('queued'), null, 'a dead engine cannot have run it');
      await queueing.sendCommand(['MULTI']);
      await queueing.sendCommand(['SET', 'queued', 'yes']);
      assert.deepEqual(await queueing.sendCommand(['EXEC']), ['OK']);
    } else assert.deepEqual(executed, ['OK']);
    await watching.sendCommand(['MULTI']);
    await watching.sendCommand(['SET', 'kept', 'no']);
    const refused = await exec(watching);
    assert.ok(refused === null || refused === 'unknown', 'as if the watched key had changed');
    assert.equal(await writer.get('kept'), 'yes');
    assert.equal(await writer.get('queued'), 'yes');
    await eventually('messages arrive again', HEAL_DEADLINE_MS, async () => {
      await writer.publish('news', 'after');
      return heard.includes('after') ? true : null;
    });
    await anotherThan(name, id);
    const events = await eventually('the parts of it are said', HEAL_DEADLINE_MS, async () => {
      const all = await eventsOf(name);
      return all.includes('failover-complete') ? all : null;
    });
    assert.ok(events.includes('shard-promoted'));
    assert.ok(!events.includes('data-lost'));
  });
}

test('a primary that works for seconds without answering is left alone', async (t) => {
  const name = 'busy';
  await service.create(name, { sku: 'Balanced_B1' });
  const to = await target(service, name, 'EnterpriseCluster');
  const redis = once(to);
  await redis.connect();
  t.after(() => redis.disconnect());
  const before = await primaryOf(name);
  const fill = "for i = 1, 200000 do redis.call('set', 'k' .. i, i) end return 1";
  await redis.eval(fill, 0);
  await assert.rejects(redis.call('DEBUG', 'SLEEP', '5'), /unknown command|NOPERM|not allowed/i);
  const spin =
    "local from = redis.call('time')[1] while redis.call('time')[1] - from < 4 do end return 'done'";
  const other = once(to);
  await other.connect();
  t.after(() => other.disconnect());
  const script = redis.eval(spin, 0);
  // Meanwhile others are told BUSY, or wait: nobody is told that the shard is away.
  const meanwhile = await said(other.get('k1'));
  assert.match(meanwhile, /BUSY|answered/);
  assert.equal(await script, 'done');
  for (let i = 0; i < 3; i++) {
    const keys = (await redis.keys('*')).length;
    assert.ok(keys >= 200_000);
  }
  assert.deepEqual(await primaryOf(name), before);
  const events = await eventsOf(name);
  assert.deepEqual(
    events.filter((reason) => /fenced|promoted|died/.test(reason)),
    [],
  );
});

test('a fault in the middle of another: the successor is stopped, the endpoint worker is killed', async (t) => {
  const name = 'twice';
  await service.create(name);
  const to = await target(service, name, 'EnterpriseCluster');
  const redis = once(to);
  await redis.connect();
  t.after(() => redis.disconnect());
  await redis.set('kept', 'yes');
  assert.equal(await redis.wait(1, 5_000), 1);
  const first = await primaryOf(name);
  process.kill(first.pid, 'SIGKILL');
  const second = await anotherThan(name, first.id);
  process.kill(second.pid, 'SIGSTOP');
  const workers = (await service.call('GET', '/cinnabar/status')).body.endpoint.workers;
  process.kill((workers as { pid: number }[])[0]?.pid ?? 0, 'SIGKILL');
  await anotherThan(name, second.id);
  const read = await eventually('readable', HEAL_DEADLINE_MS, async () => {
    const again = once(to);
    try {
      await again.connect();
      return await again.get('kept');
    } finally {
      again.disconnect();
    }
  });
  assert.equal(read, 'yes');
});
