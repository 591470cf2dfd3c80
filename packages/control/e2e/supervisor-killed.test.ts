/**
 * The supervisor of the endpoint is killed in a whole service: alone, with the control process, and at
 * the moments when a primary is changed, in order or by a crash. In the gap the workers are nobody's
 * children; they have all the clients, so what is decided about a shard has to reach them as well.
 */
import assert from 'node:assert/strict';
import { connect as dial } from 'node:net';
import { test } from 'node:test';
import { type Client, connect, once, type Target, target } from './clients.ts';
import { HEAL_DEADLINE_MS } from './limits.ts';
import { isAlive, processesUnder } from './processes.ts';
import { eventually, Service } from './service.ts';

const OSS = 'oss';
const ENTERPRISE = 'enterprise';
/** Enough to have some on each shard. */
const COUNTERS = 4;
const WARM = 10;
/** Load that leaves the cores to whoever is being replaced. */
const PAUSE_MS = 10;
const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE_MS));

/** Counts up, and knows how many increments it was told of and how many may or may not have happened. */
class Counting {
  readonly key: string;
  readonly errors: string[] = [];
  acknowledged = 0;
  #unknown = 0;
  #running = true;
  readonly #ended: Promise<void>;

  constructor(client: Client, key: string) {
    this.key = key;
    this.#ended = this.#run(client);
  }

  async #run(client: Client): Promise<void> {
    while (this.#running) {
      try {
        const value = Number(await client.call('INCR', this.key));
        // Less: an acknowledged one was lost. More: one was executed twice.
        if (value <= this.acknowledged || value > this.acknowledged + this.#unknown + 1) {
          this.errors.push(`${this.key} is ${value} after ${this.acknowledged}`);
        }
        this.#unknown -= value - this.acknowledged - 1;
        this.acknowledged = value;
      } catch (error) {
        this.errors.push(String(error));
        this.#unknown += 1;
      }
      await pause();
    }
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#ended;
  }
}

/** Connects anew for each write; answers how many were written, and every failure. */
function newcomers(to: Target) {
  const failures: string[] = [];
  let [written, running] = [0, true];
  const ended = (async () => {
    while (running) {
      const client = connect({ ...to, policy: 'EnterpriseCluster' });
      try {
        await client.call('SET', `new${written}`, written);
        written += 1;
      } catch (error) {
        failures.push(String(error));
      } finally {
        client.close();
      }
      await pause();
    }
  })();
  return {
    failures,
    get written() {
      return written;
    },
    async stop() {
      running = false;
      await ended;
    },
  };
}

for (const { workers, shardAccess } of [
  { workers: 1, shardAccess: 'direct' },
  { workers: 2, shardAccess: 'relayed' },
]) {
  test(`the supervisor is killed: every client is served (${workers} workers, shards ${shardAccess})`, async (t) => {
    const service = new Service({ miniature: { memoryDivisor: 16, maxShards: 2 }, workers });
    t.after(() => service.close());
    await service.up();
    const policies = { [OSS]: 'OSSCluster', [ENTERPRISE]: 'EnterpriseCluster' } as const;
    const caches = await Promise.all(
      ([OSS, ENTERPRISE] as const).map(async (name) => {
        const clusteringPolicy = policies[name];
        const sku = name === OSS ? 'ComputeOptimized_X3' : 'Balanced_B0';
        const cinnabar = name === OSS ? { shardAccess } : {};
        await service.create(name, { sku, database: { clusteringPolicy, cinnabar } });
        await service.healthy(name);
        const to = await target(service, name, clusteringPolicy);
        const client = connect(to);
        t.after(() => client.close());
        const counts = Array.from({ length: COUNTERS }, (_, i) => new Counting(client, `n${i}`));
        return { name, to, counts, arriving: newcomers(to) };
      }),
    );
    const counts = caches.flatMap((cache) => cache.counts);
    const arriving = caches.map((cache) => cache.arriving);
    t.after(() => Promise.all([...counts, ...arriving].map((each) => each.stop())));
    const goesOn = async (what: string): Promise<void> => {
      const from = counts.map((each) => each.acknowledged);
      const written = arriving.map((each) => each.written);
      await eventually(`clients go on after ${what}`, HEAL_DEADLINE_MS, () =>
        counts.every((each, i) => each.acknowledged > (from[i] ?? 0) + WARM) &&
        arriving.every((each, i) => each.written > (written[i] ?? 0) + 2)
          ? true
          : null,
      );
    };
    const failures = () =>
      [...counts.map((c) => c.errors), ...arriving.map((a) => a.failures)].flat();
    const supervised = async () => {
      const { pid, workers: now } = await service.endpoint();
      const whole =
        pid !== null && now.length === workers && now.every((w) => w.state === 'serving');
      return whole ? { pid, workers: now.map((worker) => worker.pid) } : null;
    };
    const whole = () => eventually('an endpoint in order', HEAL_DEADLINE_MS, supervised);
    /** Kills it, does the rest in the same turn, and waits until its orphans have gone. */
    const inTheGap = async <T>(rest: () => T): Promise<Awaited<T>> => {
      const before = await whole();
      process.kill(before.pid, 'SIGKILL');
      const done = await rest();
      await eventually('the orphans have left', HEAL_DEADLINE_MS, () =>
        before.workers.some(isAlive) ? null : true,
      );
      assert.notEqual((await whole()).pid, before.pid);
      return done;
    };
    const primaryOf = async (name: string) => {
      const [first] = await service.healthy(name);
      assert.ok(first !== undefined);
      const found = first.instances.find((each) => each.role === 'primary')?.instance;
      assert.ok(found?.process != null);
      return { id: found.id, pid: found.process.pid };
    };

    await goesOn('the start');
    const old = await Promise.all(caches.map(({ name }) => primaryOf(name)));
    const asked = await inTheGap(() =>
      Promise.all(
        caches.map(({ name }) => service.call('POST', `${service.database(name)}/failover`, {})),
      ),
    );
    assert.deepEqual(
      asked.map((each) => each.status),
      [202, 202],
    );
    for (const [i, { name }] of caches.entries()) {
      assert.equal((await service.settled(name))[0]?.status, 'Succeeded');
      assert.notEqual((await primaryOf(name)).id, old[i]?.id);
    }
    await goesOn('a switch in the gap');

    await inTheGap(async () => {
      await service.killControl();
      await service.up();
    });
    await goesOn('a killed supervisor and control process');
    assert.deepEqual(failures(), [], 'nobody was told of any of this');

    const victims = await Promise.all(caches.map(({ name }) => primaryOf(name)));
    await inTheGap(() => {
      for (const { pid } of victims) process.kill(pid, 'SIGKILL');
    });
    for (const [i, { name }] of caches.entries()) {
      await service.healthy(name);
      assert.notEqual((await primaryOf(name)).id, victims[i]?.id);
    }
    await goesOn('a crash in the gap');
    await Promise.all([...counts, ...arriving].map((each) => each.stop()));
    const explicit = /^ReplyError: (OUTCOMEUNKNOWN|ERR partly-done)|Connection is closed/;
    t.diagnostic(
      `${failures().length} errors at the crash: ${[...new Set(failures())].join('; ')}`,
    );
    assert.deepEqual(
      failures().filter((each) => !explicit.test(each)),
      [],
    );

    for (const { to, counts: mine, arriving: theirs } of caches) {
      const reader = once(to);
      t.after(() => reader.disconnect());
      await reader.connect();
      for (const { key, acknowledged } of mine) {
        assert.ok(Number(await reader.get(key)) >= acknowledged, `${key} of ${to.policy}`);
      }
      for (let i = 0; i < theirs.written; i++) assert.equal(await reader.get(`new${i}`), `${i}`);
      reader.disconnect();
    }
    t.diagnostic(
      `${counts.reduce((sum, each) => sum + each.acknowledged, 0)} increments, ${arriving.map((each) => each.written)} newcomers`,
    );

    await service.down();
    assert.deepEqual(processesUnder(service.scratch), [], 'nothing is left');
    for (const { to } of caches) assert.equal(await refused(to.port), true, 'a port is left');
  });
}

function refused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    dial({ host: '127.0.0.1', port })
      .on('connect', () => resolve(false))
      .on('error', () => resolve(true));
  });
}
