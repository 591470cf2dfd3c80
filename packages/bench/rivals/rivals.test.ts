import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Asker } from '../load/asker.ts';
import { inspectProcess } from '../processes.ts';
import { makeCertificate } from './certificates.ts';
import { startEngine } from './engine.ts';
import { startHaproxy } from './haproxy.ts';
import { type Launched, workFolder } from './launch.ts';
import { optional, RIVAL_ENGINES, rivalEngine, rivalProgram } from './programs.ts';
import { startSentinelGroup } from './sentinel.ts';
import { startTwemproxy } from './twemproxy.ts';

async function setAndGet(target: Parameters<typeof Asker.open>[0]): Promise<string> {
  const asker = await Asker.open(target);
  try {
    await asker.ask('SET', 'k', 'v');
    return String(await asker.ask('GET', 'k'));
  } finally {
    asker.close();
  }
}

test('every rival engine that the suites offer now starts and answers', async (t) => {
  const folder = await workFolder();
  try {
    let started = 0;
    for (const name of RIVAL_ENGINES) {
      const engine = await optional(name, () => rivalEngine(name), t.diagnostic.bind(t));
      if (engine === null) continue;
      const running = await startEngine(engine.server, { dir: folder.dir, name });
      assert.equal(await setAndGet({ path: running.socket }), 'v');
      await running.stop();
      assert.equal(inspectProcess(running.process).state, 'gone');
      started += 1;
    }
    assert.ok(started > 0, 'not one of the engines is there');
  } finally {
    await folder.remove();
  }
});

test('HAProxy and twemproxy carry commands, with and without TLS', async () => {
  const folder = await workFolder();
  const certificate = await makeCertificate(folder.dir);
  const running: Launched[] = [];
  try {
    const { server } = await rivalEngine('valkey-8');
    const engine = await startEngine(server, { dir: folder.dir, certificate });
    running.push(engine);
    const haproxy = await startHaproxy(await rivalProgram('haproxy'), {
      dir: folder.dir,
      engineSocket: engine.socket,
      certificate,
    });
    running.push(haproxy);
    const twemproxy = await startTwemproxy(await rivalProgram('twemproxy'), {
      dir: folder.dir,
      engineSocket: engine.socket,
    });
    running.push(twemproxy);
    const tls = { ca: certificate.ca };
    assert.equal(await setAndGet({ port: engine.tlsPort, tls }), 'v');
    assert.equal(await setAndGet({ port: haproxy.port }), 'v');
    assert.equal(await setAndGet({ port: haproxy.tlsPort, tls }), 'v');
    assert.equal(await setAndGet({ port: twemproxy.port }), 'v');
  } finally {
    await Promise.all(running.map((each) => each.stop()));
    await folder.remove();
  }
});

test('a Sentinel group fails over when its primary is killed', async () => {
  const folder = await workFolder();
  const { server } = await rivalEngine('valkey-8');
  const group = await startSentinelGroup(server, folder.dir);
  try {
    const [first, second] = group.engines;
    assert.ok(first !== undefined && second !== undefined);
    assert.equal(await group.primaryPort(), first.port);
    process.kill(first.process.pid, 'SIGKILL');
    const deadline = performance.now() + 15_000;
    while ((await group.primaryPort()) !== second.port) {
      assert.ok(performance.now() < deadline, 'no failover within 15 s');
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    await group.stop();
    await folder.remove();
  }
});
