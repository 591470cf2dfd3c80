/** The control link against real engines in their bad moments. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type EngineLink, openLink } from './index.ts';
import { MAX_OVERDUE_REPLIES } from './limits.ts';
import { type EngineRoom, engineRoom, eventually, TEST_PASSWORDS, testUser } from './testing.ts';

const MS = 2000;

function code(expected: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Error && 'code' in error, String(error));
    assert.equal(error.code, expected, error.message);
    assert.doesNotMatch(error.message, /\b(?!username)\w+-password/, 'an error carries a secret');
    return true;
  };
}

async function loginAs(
  t: TestContext,
  room: EngineRoom,
  socket: string,
  user: keyof typeof TEST_PASSWORDS,
): Promise<EngineLink> {
  const link = await room.node.link(socket, { user, password: TEST_PASSWORDS[user] }, MS);
  t.after(() => link.close());
  return link;
}

test('a late reply is never taken for the answer to a later call', async (t) => {
  const room = await engineRoom(t);
  const engine = await room.start(await room.launch());
  const { link } = engine;
  process.kill(engine.process.pid, 'SIGSTOP');
  await assert.rejects(link.command(['ECHO', 'first'], 50), code('engine-timeout'));
  await assert.rejects(link.facts(50), code('engine-timeout'));
  assert.equal(link.closed, false);
  const waiting = link.command(['ECHO', 'second'], 5000);
  process.kill(engine.process.pid, 'SIGCONT');
  assert.equal(String(await waiting), 'second');
  assert.equal(await link.ping(MS), 'pong');
});

test('an engine that owes too many answers is called mute, and the link ends', async (t) => {
  const room = await engineRoom(t);
  const engine = await room.start(await room.launch());
  const reason = new Promise<string>((resolve) => engine.link.onClose(resolve));
  process.kill(engine.process.pid, 'SIGSTOP');
  const pings = Array.from({ length: MAX_OVERDUE_REPLIES + 1 }, () => engine.link.ping(20));
  const results = await Promise.allSettled(pings);
  assert.ok(results.every((result) => result.status === 'rejected'));
  assert.match(await reason, /^mute/);
  await assert.rejects(engine.link.ping(MS), code('engine-closed'));
});

test('a script is busy, not dead; the link introduces itself when it is over', async (t) => {
  const room = await engineRoom(t);
  const engine = await room.start(await room.launch());
  const client = await loginAs(t, room, engine.launch.socket, 'default');
  const script = client.command(['EVAL', 'while true do end', '0'], 20_000);
  await eventually('the script runs long enough to be called busy', async () => {
    const state = await engine.link.ping(MS).catch(() => 'late');
    return state === 'busy';
  });
  await assert.rejects(engine.link.facts(MS), code('engine-busy'));
  const late = await loginAs(t, room, engine.launch.socket, 'admin');
  assert.equal(await late.ping(MS), 'busy');
  assert.equal(await engine.link.command(['SCRIPT', 'KILL'], MS), 'OK');
  await script;
  assert.equal(await late.ping(MS), 'pong');
  const clients = String(await engine.link.command(['CLIENT', 'LIST'], MS));
  const lines = clients.split('\n').filter((line) => / user=admin /.test(line));
  assert.equal(lines.length, 2);
  for (const line of lines) {
    assert.match(line, / name=cinnabar-control /);
    assert.match(line, / flags=\w*e\w* /, 'exempt from eviction');
    assert.match(line, / flags=\w*T\w* /, 'does not touch keys');
  }
});

test('ending connections never ends our own', async (t) => {
  const room = await engineRoom(t);
  const engine = await room.start(await room.launch());
  const replica = await room.start(await room.launch({ role: { kind: 'fenced' } }));
  await replica.link.follow({ id: '', host: '127.0.0.1', port: engine.launch.port }, MS);
  await eventually('the replica is online', async () => {
    return (await engine.link.facts(MS)).followers.length === 1;
  });
  const { link } = engine;
  await link.setUser(testUser('app', 'app-password', ['~*', '&*', '+@all']), MS);
  const app = (): Promise<EngineLink> =>
    openLink(engine.launch.socket, { user: 'app', password: 'app-password' }, MS);
  const one = await app();
  const subscriber = await app();
  await subscriber.command(['SUBSCRIBE', 'news'], MS);
  const client = await loginAs(t, room, engine.launch.socket, 'default');
  const endpoint = await loginAs(t, room, engine.launch.socket, 'endpoint');

  assert.equal(await link.disconnect('app', MS), 2);
  await eventually('both are closed', () => one.closed && subscriber.closed);
  assert.equal(await client.ping(MS), 'pong');
  await assert.rejects(link.disconnect('endpoint', MS), code('internal-user'));

  const again = await app();
  assert.equal(await link.disconnect(null, MS), 2);
  await eventually('clients are closed', () => again.closed && client.closed);
  assert.equal(await endpoint.ping(MS), 'pong');
  assert.equal(await link.ping(MS), 'pong');
  assert.equal((await engine.link.facts(MS)).followers.length, 1, 'the replica stayed');
  assert.equal(await link.disconnect('nobody', MS), 0);
});

test('a user is exactly what was set, names unknown to this engine left out', async (t) => {
  const room = await engineRoom(t);
  const { link, launch } = await room.start(await room.launch());
  await link.setUser(testUser('u', 'one-password', ['~a:*', '+@all']), MS);
  await link.setUser(
    testUser('u', 'two-password', [
      '~b:*',
      '+@read',
      '+nosuchcommand',
      '-config|nosuch',
      '-@nosuchcategory',
      '+get',
    ]),
    MS,
  );
  const rules = JSON.stringify(await link.command(['ACL', 'LIST'], MS), (_, value) =>
    value?.type === 'Buffer' ? Buffer.from(value.data).toString() : value,
  );
  const line = /user u ([^"]*)/.exec(rules)?.[1] ?? '';
  assert.match(line, /~b:\*/);
  assert.doesNotMatch(line, /~a:|nosuch/);
  assert.equal(line.match(/#/g)?.length, 1);
  const login = (password: string): Promise<EngineLink> =>
    openLink(launch.socket, { user: 'u', password }, MS);
  await assert.rejects(login('one-password'), code('engine-login'));
  (await login('two-password')).close();
  await link.removeUser('u', MS);
  await assert.rejects(login('two-password'), code('engine-login'));
  await assert.rejects(link.setUser(testUser('two words', 'x', []), MS), code('bad-user-name'));
});

test('settings are set all at once or not at all; refusals are errors with the engine’s words', async (t) => {
  const room = await engineRoom(t);
  const { link } = await room.start(await room.launch());
  await link.configure({ maxmemory: '100mb', 'maxmemory-policy': 'allkeys-lru' }, MS);
  assert.deepEqual(await link.readSettings(['maxmemory', 'maxmemory-policy'], MS), {
    maxmemory: String(100 * 1024 ** 2),
    'maxmemory-policy': 'allkeys-lru',
  });
  await assert.rejects(
    link.configure({ maxmemory: '1mb', 'maxmemory-policy': 'no-such-policy' }, MS),
    code('engine-refused'),
  );
  assert.equal((await link.readSettings(['maxmemory'], MS))['maxmemory'], String(100 * 1024 ** 2));
  await assert.rejects(link.takeover(MS), code('engine-refused'));
  assert.deepEqual(await link.readSettings([], MS), {});
});

test('a pause holds writes and lets reads and the link pass; flush empties', async (t) => {
  const room = await engineRoom(t);
  const { link, launch } = await room.start(await room.launch());
  const client = await loginAs(t, room, launch.socket, 'default');
  await client.command(['SET', 'a', '1'], MS);
  await link.pauseWrites(30_000, MS);
  let answered = false;
  const write = client.command(['SET', 'a', '2'], 10_000).then((reply) => {
    answered = true;
    return reply;
  });
  const reader = await loginAs(t, room, launch.socket, 'endpoint');
  assert.equal(String(await reader.command(['GET', 'a'], MS)), '1');
  assert.equal((await link.facts(MS)).keys, 1);
  assert.equal(answered, false);
  await link.unpause(MS);
  assert.equal(await write, 'OK');
  await link.flush(MS);
  assert.equal((await link.facts(MS)).keys, 0);
});

test('a save waits for the snapshot that is under way', async (t) => {
  const room = await engineRoom(t);
  const { link, launch } = await room.start(await room.launch());
  await link.command(['EVAL', "for i=1,200 do redis.call('SET', i, i) end", '0'], MS);
  await link.configure({ 'rdb-key-save-delay': '2000' }, MS);
  await link.command(['BGSAVE'], MS);
  await link.configure({ 'rdb-key-save-delay': '0' }, MS);
  await assert.rejects(link.save(100), code('engine-refused'));
  await link.save(10_000);
  const file = await room.node.dataFile(launch.dataDir);
  assert.ok(file !== null && file.bytes > 500);
});

test('a link that cannot be had says why', async (t) => {
  const room = await engineRoom(t);
  const engine = await room.start(await room.launch());
  await assert.rejects(
    openLink(engine.launch.socket, { user: 'admin', password: 'wrong-password' }, MS),
    code('engine-login'),
  );
  await assert.rejects(
    openLink(`${engine.launch.socket}x`, { user: 'admin', password: '' }, MS),
    code('engine-unreachable'),
  );
  process.kill(engine.process.pid, 'SIGSTOP');
  await assert.rejects(
    openLink(engine.launch.socket, { user: 'admin', password: TEST_PASSWORDS.admin }, 100),
    code('engine-timeout'),
  );
  await room.node.kill(engine.process, MS);
  const reason = await new Promise((resolve) => engine.link.onClose(resolve));
  assert.match(String(reason), /closed|ECONNRESET|EPIPE/);
  let late = '';
  engine.link.onClose((why) => {
    late = why;
  });
  assert.equal(late, reason, 'a listener that comes late hears it at once');
});
