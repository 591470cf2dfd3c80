/** Real workers in front of real engines: with one and two workers, plain and over TLS. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import type { DatabaseView } from '../../endpoint/control-protocol.ts';
import {
  engineRoom,
  eventually,
  type RunningEngine,
  TEST_PASSWORDS,
  testCertificates,
} from '../../engine/testing.ts';
import type { LocalFleet } from './fleet.ts';
import {
  type FleetRoom,
  fleetRoom,
  instanceOf,
  RawClient,
  shardOf,
  startedFleet,
  viewOf,
} from './testing.ts';

const MS = 2000;
type View = DatabaseView & { readonly port: number };

for (const workers of [1, 2]) {
  for (const secure of [false, true]) {
    suite(`${workers} workers, ${secure ? 'TLS' : 'plain'}`, () => {
      let room: FleetRoom;
      let fleet: LocalFleet;
      let first: RunningEngine;
      let second: RunningEngine;
      let view: View;
      let tls: ConnectionOptions | null = null;
      let epoch = 0;

      const publish = async (parts: Partial<DatabaseView> = {}): Promise<void> => {
        view = { ...view, ...parts };
        epoch += 1;
        assert.deepEqual(await fleet.publish(epoch, [view]), []);
      };
      const client = async (): Promise<RawClient> => {
        const made = await new RawClient(view.port, tls).ready();
        assert.equal(await made.ask('AUTH', TEST_PASSWORDS.default), '+OK\r\n');
        return made;
      };
      /** The pid of the worker that serves it. */
      const homeOf = (each: RawClient): Promise<number> =>
        eventually('the worker is known', () => {
          const end = `:${each.socket.localPort}`;
          const opened = room.events.findLast(
            (e) => e.kind === 'opened' && e.address.endsWith(end),
          );
          return opened?.kind === 'opened' ? Number(opened.client.split('-')[0]) : null;
        });
      const closedCount = async (reason: string): Promise<number> =>
        (await fleet.counters()).databases.find((d) => d.id === 'db')?.closed[reason] ?? 0;

      test('serves', async (t) => {
        // The rooms live as long as the suite: the last test ends them.
        const ends: (() => unknown)[] = [];
        const hooks = { after: (end: () => unknown) => ends.push(end) } as unknown as typeof t;
        const engines = await engineRoom(hooks);
        room = fleetRoom(hooks);
        endRooms = async () => {
          for (const end of ends.reverse()) await end();
        };
        [first, second] = await Promise.all([
          engines.launch().then((launch) => engines.start(launch)),
          engines.launch().then((launch) => engines.start(launch)),
        ]);
        const pair = await testCertificates(join(room.folder, 'tls'));
        if (secure) tls = { ca: readFileSync(pair.caFile) };
        fleet = await startedFleet(room, workers);
        view = await viewOf(shardOf(instanceOf(first)), secure ? { certificate: pair } : {});
        await publish();
        const clients = await Promise.all(Array.from({ length: 8 }, client));
        for (const [i, each] of clients.entries()) {
          assert.equal(await each.ask('SET', `k${i}`, 'v'), '+OK\r\n');
          assert.equal(await each.ask('GET', `k${i}`), '$1\r\nv\r\n');
        }
        const facts = await first.link.facts(MS);
        assert.equal(facts.keys, 8);
        const counted = (await fleet.counters()).databases[0];
        assert.equal(counted?.connections, 8);
        assert.ok((counted?.bytesIn ?? 0) > 8 * 50);
        for (const each of clients) each.close();
        await eventually(
          'all are counted as closed',
          async () => (await closedCount('client-closed')) === 8,
        );
      });

      test('a large value comes back byte for byte, and a request in one-byte pieces works', async () => {
        const each = await client();
        const value = Buffer.alloc(3_000_000, 'x0y1z2').toString();
        assert.equal(await each.ask('SET', 'large', value), '+OK\r\n');
        each.text = '';
        each.send('GET', 'large');
        const want = `$${value.length}\r\n${value}\r\n`;
        await each.until('3 MB', (c) => c.text.length >= want.length);
        assert.ok(each.text === want);
        each.text = '';
        for (const byte of '*2\r\n$3\r\nGET\r\n$2\r\nk1\r\n') each.socket.write(byte);
        await each.until('the reply', (c) => c.text === '$1\r\nv\r\n');
        each.close();
      });

      test('hold: answered when nothing is in flight, and nothing passes until release', async () => {
        const slow = await client();
        const other = await client();
        slow.text = '';
        slow.send(
          'EVAL',
          "local t=redis.call('time')[1]*1000000+redis.call('time')[2] repeat local n=redis.call('time') until n[1]*1000000+n[2]-t>300000 return 'done'",
          '0',
        );
        await eventually('the script runs', async () => {
          try {
            return (await first.link.ping(20)) !== 'pong';
          } catch {
            return true; // no answer in time: it runs
          }
        });
        const asked = performance.now();
        const held = fleet.hold('db/0', MS);
        await held;
        // Written before the hold was answered; it may still be on its way to this end.
        await eventually('the script is answered', async () => slow.text === '$4\r\ndone\r\n');
        const tookMs = performance.now() - asked;
        other.text = '';
        other.send('SET', 'during', 'hold');
        const late = new RawClient(view.port, tls);
        await late.ready();
        late.send('AUTH', TEST_PASSWORDS.default).send('GET', 'during');
        assert.equal(await first.link.command(['EXISTS', 'during'], MS), 0);
        await eventually(
          'the late client is in',
          async () => (await fleet.counters()).databases[0]?.connections === 3,
        );
        assert.equal(await first.link.command(['EXISTS', 'during'], MS), 0);
        await eventually('the login is answered here', async () => late.text === '+OK\r\n');
        assert.equal(other.text, '', 'nothing but the login is answered');
        await fleet.release('db/0', epoch, null);
        await other.until('its reply after the release', (c) => c.text === '+OK\r\n');
        await late.until(
          'the late client is served',
          (c) => c.text.startsWith('+OK\r\n') && c.text.length > 5,
        );
        assert.ok(tookMs > 100, `the hold took ${tookMs} ms`);
        for (const each of [slow, other, late]) each.close();
      });

      test('hold: refuses at the deadline and releases itself; blocking commands are not waited for', async () => {
        const blocked = await client();
        blocked.text = '';
        blocked.send('BLPOP', 'queue', '0');
        await eventually('it is blocked', async () =>
          /blocked_clients:1/.test(String(await first.link.command(['INFO', 'clients'], MS))),
        );
        await fleet.hold('db/0', MS);
        await fleet.release('db/0', epoch, null);
        const slow = await client();
        slow.text = '';
        slow.send(
          'EVAL',
          "local t=redis.call('time')[1]*1000000+redis.call('time')[2] repeat local n=redis.call('time') until n[1]*1000000+n[2]-t>400000 return 'done'",
          '0',
        );
        await eventually('the script runs', async () => {
          try {
            return (await first.link.ping(20)) !== 'pong';
          } catch {
            return true;
          }
        });
        await assert.rejects(fleet.hold('db/0', 100), /was not quiet within 100 ms/);
        await slow.until('the script ends', (c) => c.text === '$4\r\ndone\r\n');
        assert.equal(await slow.ask('SET', 'after', 'hold'), '+OK\r\n');
        // A hold that succeeded and is never released ends too, and says so.
        await fleet.hold('db/0', 150);
        assert.equal(await slow.ask('GET', 'after'), '$4\r\nhold\r\n');
        assert.ok(room.events.some((e) => e.kind === 'limit' && e.limit === 'hold-expired'));
        assert.equal(await slow.ask('RPUSH', 'queue', 'x'), ':1\r\n');
        await blocked.until('the pop', (c) => c.text.includes('queue'));
        for (const each of [slow, blocked]) each.close();
      });

      test('another primary: clients stay, and their next command goes to it', async () => {
        const idle = await client();
        assert.equal(await idle.ask('SET', 'where', 'first'), '+OK\r\n');
        await publish({ shards: [shardOf(instanceOf(second))] });
        assert.equal(await idle.ask('SET', 'where', 'second'), '+OK\r\n');
        assert.equal(String(await second.link.command(['GET', 'where'], MS)), 'second');
        assert.equal(String(await first.link.command(['GET', 'where'], MS)), 'first');
        idle.close();
        await publish({ shards: [shardOf(instanceOf(first))] });
      });

      test('a shard that is down: commands wait, and are served by the next primary', async () => {
        await publish({ shards: [shardOf(null, { reason: 'promoting' })] });
        const waiting = await new RawClient(view.port, tls).ready();
        waiting.send('AUTH', TEST_PASSWORDS.default).send('SET', 'waited', '1');
        const impatient = await new RawClient(view.port, tls).ready();
        impatient.socket.end();
        await impatient.until('it may leave', (c) => c.closed);
        await eventually(
          'one waits',
          async () => (await fleet.counters()).databases[0]?.connections === 1,
        );
        await publish({ shards: [shardOf(instanceOf(second))] });
        await waiting.until('it is served', (c) => c.text === '+OK\r\n+OK\r\n');
        assert.equal(String(await second.link.command(['GET', 'waited'], MS)), '1');
        waiting.close();
      });

      test('an engine that is killed: event at once, unknown outcomes said, others wait for the next', async () => {
        const busy = await client();
        const quiet = await client();
        busy.text = '';
        busy.send('EVAL', 'while true do end', '0').send('SET', 'a', '1');
        await eventually('the script runs', async () => {
          try {
            return (await second.link.ping(20)) !== 'pong';
          } catch {
            return true;
          }
        });
        room.events.length = 0;
        process.kill(second.process.pid, 'SIGKILL');
        const killed = performance.now();
        await eventually('the alarm', () => room.events.some((e) => e.kind === 'shard-lost'));
        const alarmMs = performance.now() - killed;
        const alarm = room.events.find((e) => e.kind === 'shard-lost');
        assert.equal(alarm?.kind === 'shard-lost' && alarm.node, second.launch.instance);
        assert.ok(alarmMs < 500, `alarm after ${alarmMs} ms`);
        await busy.until('its outcomes are said', (c) => c.text.split('\r\n').length > 2);
        assert.equal(busy.text.match(/^-OUTCOMEUNKNOWN /gm)?.length, 2, busy.text);
        quiet.text = '';
        quiet.send('GET', 'k1');
        await publish({ shards: [shardOf(instanceOf(first))] });
        await quiet.until('it is served by the other', (c) => c.text === '$1\r\nv\r\n');
        for (const each of [busy, quiet]) each.close();
      });

      test('the connection limit holds over all workers, and every permit can be used', async () => {
        await publish({ limits: { ...view.limits, maxConnections: 6 } });
        await eventually(
          'nobody is connected',
          async () => (await fleet.counters()).databases[0]?.connections === 0,
        );
        const clients: RawClient[] = [];
        for (let i = 0; i < 6; i += 1) clients.push(await client());
        for (let i = 0; i < 4; i += 1) {
          const refused = await new RawClient(view.port, tls).ready();
          await refused.until('it is told', (c) => c.text !== '' || c.closed);
          assert.equal(refused.text, '-ERR max number of clients reached\r\n');
          await refused.until('it is closed', (c) => c.ended || c.closed);
        }
        assert.equal((await fleet.counters()).databases[0]?.refused['max-clients'], 4);
        for (let i = 0; i < 3; i += 1) {
          clients.pop()?.close();
          await eventually(
            'it is gone',
            async () => (await fleet.counters()).databases[0]?.connections === 5,
          );
          clients.push(await client());
        }
        for (const each of clients) each.close();
        await publish({ limits: { ...view.limits, maxConnections: 1000 } });
      });

      test('idle clients are ended, those that wait for a reply are not', async () => {
        const idle = await client();
        const blocked = await client();
        blocked.send('BLPOP', 'nothing', '0');
        await publish({ limits: { ...view.limits, idleTimeoutMs: 200 } });
        await idle.until('it is ended', (c) => c.ended || c.closed);
        await eventually('it is counted', async () => (await closedCount('idle')) === 1);
        assert.equal(blocked.ended || blocked.closed, false);
        blocked.close();
        await publish({ limits: { ...view.limits, idleTimeoutMs: 600_000 } });
      });

      test('a reader that does not read is bounded on this side', async () => {
        await publish({ limits: { ...view.limits, outputBufferBytes: 32 * 1024 * 1024 } });
        const each = await client();
        const value = 'v'.repeat(1_000_000);
        assert.equal(await each.ask('SET', 'big', value), '+OK\r\n');
        each.socket.pause();
        for (let i = 0; i < 60; i += 1) each.send('GET', 'big');
        const worker = await eventually('the engine is blocked on it', async () => {
          const list = String(await first.link.command(['CLIENT', 'LIST', 'TYPE', 'normal'], MS));
          return / omem=[1-9]\d{6,} /.test(list) ? fleet.status().workers : null;
        });
        const rss = worker.map(({ pid }) =>
          Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]),
        );
        assert.ok(Math.max(...rss) < 180_000, `a worker grew to ${Math.max(...rss)} kB`);
        each.text = '';
        each.socket.resume();
        await each.until('all 60 MB', (c) => c.text.length === 60 * (1_000_000 + 12));
        each.close();
      });

      test('a worker that is killed: the others go on, the next one is there at once', async () => {
        const clients = await Promise.all(Array.from({ length: 6 }, client));
        const homes = new Map<RawClient, number>();
        for (const each of clients) homes.set(each, await homeOf(each));
        const before = fleet.status().workers.map((worker) => worker.pid);
        const [victim = 0] = before;
        process.kill(victim, 'SIGKILL');
        const next = await eventually(
          'a successor serves the epoch',
          () =>
            fleet
              .status()
              .workers.find(
                (w) => !before.includes(w.pid) && w.state === 'serving' && w.epoch === epoch,
              ) ?? null,
        );
        assert.ok(next.pid !== victim);
        for (const each of clients) {
          if (homes.get(each) === victim)
            await each.until('it is cut off', (c) => c.closed || c.ended);
          else assert.equal(await each.ask('PING'), '+PONG\r\n');
        }
        const again = await client();
        assert.equal(await again.ask('PING'), '+PONG\r\n');
        for (const each of [...clients, again]) each.close();
      });

      test('ends', () => endRooms());
    });
  }
}

let endRooms: () => Promise<void> = async () => {};
