/** The supervisor dies, again and again, while clients come and stay: nobody is refused. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { DatabaseView } from '../../endpoint/control-protocol.ts';
import { claim } from '../../endpoint/supervision/listening.ts';
import { SUPERVISOR_PROTOCOL, SUPERVISOR_SOCKET } from '../../endpoint/supervisor-protocol.ts';
import { engineRoom, eventually, freePorts } from '../../engine/testing.ts';
import { alive } from './launch.ts';
import { ANSWER_WAIT_MS, LOG_BYTES } from './limits.ts';
import { Peer } from './peer.ts';
import {
  connectLoad,
  fleetRoom,
  guardSupervisor,
  instanceOf,
  RawClient,
  shardOf,
  startedFleet,
  viewOf,
} from './testing.ts';

/** Asks without a pause on one connection, and on another one when that is closed. */
function askLoad(port: number) {
  const failures: string[] = [];
  let running = true;
  let longestMs = 0;
  let connections = 0;
  const ended = (async () => {
    let last = performance.now();
    while (running) {
      const client = await new RawClient(port).ready();
      connections += 1;
      while (running && !client.closed) {
        const answer = await client.ask('PING').catch(String);
        if (client.closed) break; // between two commands: nothing was answered by halves
        if (!answer.startsWith('-NOAUTH')) failures.push(answer);
        longestMs = Math.max(longestMs, performance.now() - last);
        last = performance.now();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      if (client.error?.code === 'ECONNREFUSED') failures.push(client.error.code);
      client.close();
    }
  })();
  return {
    async stop() {
      running = false;
      await ended;
      return { failures, longestMs, connections };
    },
  };
}

const WORKERS = 2;

test('the supervisor is killed, and the next one before it serves: nobody is refused', async (t) => {
  const engines = await engineRoom(t);
  const engine = await engines.start(await engines.launch());
  const room = fleetRoom(t);
  const fleet = await startedFleet(room, WORKERS);
  const ports = await freePorts(2);
  const listen = ports.map((port) => ({ host: '127.0.0.1', port, tls: false }));
  const view: DatabaseView = await viewOf(shardOf(instanceOf(engine)), { listen });
  await fleet.publish(3, [view]);
  const loads = ports.map((port) => connectLoad(port, 2));
  const connected = ports.map((port) => askLoad(port));
  t.after(() => Promise.all([...loads, ...connected].map((load) => load.stop().catch(() => {}))));
  const before = fleet.status();
  const first = before.supervisor ?? 0;
  const log = join(room.folder, 'endpoint.log');
  writeFileSync(log, 'x'.repeat(LOG_BYTES + 1), { flag: 'a' });
  process.kill(first, 'SIGKILL');
  await eventually('it is missed', () => fleet.status().supervisor === null);
  // Nobody leads the workers now, and they have the clients: what is said reaches them.
  const published = fleet.publish(4, [view]).catch(() => null);
  await fleet.hold('db/0', ANSWER_WAIT_MS);
  await fleet.release('db/0', 4, null);
  const path = join(room.folder, 'run', SUPERVISOR_SOCKET);
  const options = { path, protocol: SUPERVISOR_PROTOCOL, build: 'test' };
  let second = first;
  await eventually('there is a second one', async () => {
    try {
      const peer = await Peer.open({ ...options, onMessage: () => {}, onClose: () => {} });
      second = peer.hello.pid;
      peer.close();
    } catch {
      return false; // between the two nobody listens there
    }
    return second !== first;
  });
  process.kill(second, 'SIGKILL');
  await eventually('a third one runs all workers', () => {
    const { supervisor, workers: now } = fleet.status();
    return (
      supervisor !== null &&
      ![first, second].includes(supervisor) &&
      now.length === WORKERS &&
      now.every((worker) => worker.state === 'serving' && worker.epoch === 4)
    );
  });
  await published; // or it is told that nobody may have it, since the second one is killed
  assert.deepEqual(await fleet.publish(5, [view]), []);
  assert.ok(statSync(log).size < LOG_BYTES, 'the log began anew, though orphans write to it');
  assert.match(readFileSync(log, 'utf8'), /^2.*\n/); // whoever writes next: at its beginning
  guardSupervisor(room, fleet);
  await eventually('the orphans have left', () => before.workers.every(({ pid }) => !alive(pid)));
  const pids = fleet.status().workers.map(({ pid }) => pid);
  await eventually('nothing else is left in the folder', () => {
    const names = readdirSync(join(room.folder, 'run')).filter((name) => name.startsWith('w'));
    return names.every((name) => pids.some((pid) => name.includes(`-${pid}`)));
  });
  for (const load of loads) {
    const { served, failures } = await load.stop();
    assert.deepEqual(failures, {});
    assert.ok(served > 0);
  }
  for (const load of connected) {
    const { failures, longestMs, connections } = await load.stop();
    assert.deepEqual(failures, []);
    assert.ok(connections > 1, 'it was handed over');
    t.diagnostic(`longest ${Math.round(longestMs)} ms`);
  }
  assert.deepEqual(await fleet.publish(6, []), []);
  for (const port of ports) assert.equal(claim({ host: '127.0.0.1', port }), null);
});
