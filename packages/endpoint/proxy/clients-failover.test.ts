/**
 * BullMQ, as its users use it, through two workers over two shards: everything it does is Lua, blocking
 * commands and streams. Meanwhile the primary of its queues is changed by plan, engines forget their
 * scripts, and in the end the primary is killed. The queues go on by themselves; a planned change
 * loses nothing, does nothing twice and shows no error; after the kill everything that was known to be
 * on a replica is done.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FlowProducer, type Job, Queue, QueueEvents, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { eventually, type RunningEngine } from '../../engine/testing.ts';
import { keySlot } from '../../resp/index.ts';
import { SWITCHING } from '../control-protocol.ts';
import { type RunningProxy, startProxy } from './testing.ts';
import { instance, KEY, startShards, type TestShard, type TestShards } from './testing-engines.ts';

const MS = 3000;
const RECONNECT_MS = 50;
const WAIT_MS = 200;
const POP_S = 5;
const HOLD_MS = 4000;
const PREFIX = '{bull}';
/** How far ahead of the workers jobs are made. */
const AHEAD = 60;
const EVERYTHING_MS = 60_000;

/** The shard that all keys of BullMQ are on. */
function ownerOf({ shards }: TestShards): TestShard & { readonly replica: RunningEngine } {
  const owner = shards[keySlot(Buffer.from(PREFIX)) < 8192 ? 0 : 1];
  assert.ok(owner?.replica);
  return { ...owner, replica: owner.replica };
}

function viewsWith(
  cluster: TestShards,
  owner: TestShard,
  primary: RunningEngine | null,
  replica: RunningEngine | null,
) {
  return cluster.views.map((view) =>
    view.id === owner.view.id
      ? {
          ...view,
          state: primary === null ? ('down' as const) : ('serving' as const),
          primary: primary === null ? null : instance(primary),
          replicas: replica === null ? [] : [instance(replica)],
        }
      : view,
  );
}

/** As the control process does it. */
async function switchByPlan(
  running: RunningProxy,
  cluster: TestShards,
  owner: TestShard,
  from: RunningEngine,
  to: RunningEngine,
): Promise<void> {
  await eventually('in sync', async () => {
    const facts = await to.link.facts(MS);
    return facts.role === 'replica' && facts.link === 'up' && !facts.syncing;
  });
  await running.hold(owner.view.id, performance.now() + HOLD_MS);
  await from.link.pauseWrites(HOLD_MS, MS);
  const { offset } = await from.link.facts(MS);
  await eventually('equal offsets', async () => (await to.link.facts(MS)).offset >= offset);
  const next = viewsWith(cluster, owner, to, from);
  running.apply({
    shards: next.map((view) =>
      view.id === owner.view.id ? { ...view, state: 'held' as const, reason: SWITCHING } : view,
    ),
  });
  await to.link.takeover(MS);
  await eventually('demoted', async () => (await from.link.facts(MS)).role === 'replica');
  await from.link.unpause(MS);
  running.apply({ shards: next });
  running.release(owner.view.id);
}

async function killed(
  running: RunningProxy,
  cluster: TestShards,
  owner: TestShard,
  primary: RunningEngine,
  replica: RunningEngine,
): Promise<void> {
  process.kill(primary.process.pid, 'SIGKILL');
  await eventually('the loss is seen', () => running.events.some((e) => e.kind === 'shard-lost'));
  running.apply({ shards: viewsWith(cluster, owner, null, replica) });
  await replica.link.takeover(MS);
  running.apply({ shards: viewsWith(cluster, owner, replica, null) });
}

test('BullMQ while primaries change', async (t) => {
  const cluster = await startShards(t, 2, true);
  const owner = ownerOf(cluster);
  const running = await startProxy({ shards: cluster.views, keys: { default: KEY }, workers: 2 });
  let over = false;
  t.after(() => {
    over = true;
    return running.close();
  });
  const connection = {
    host: '127.0.0.1',
    port: running.port,
    password: KEY,
    maxRetriesPerRequest: null,
    // Whatever happens, nothing tries to connect again for ever when the test is over.
    retryStrategy: () => (over ? null : RECONNECT_MS),
  };
  const options = { connection, prefix: PREFIX };
  const quick = { ...options, lockDuration: 3000, stalledInterval: 1000, maxStalledCount: 10 };
  const errors: string[] = [];
  const parts: { close(): Promise<unknown> }[] = [];
  t.after(async () => {
    // Also of a test that failed: what still connects keeps its process for ever.
    for (const part of parts.reverse()) await part.close().catch(() => undefined);
  });
  const kept = <T extends (typeof parts)[number]>(part: T): T => {
    parts.push(part);
    (part as unknown as NodeJS.EventEmitter).on('error', (error: Error) =>
      errors.push(error.message),
    );
    return part;
  };

  const done = new Map<string, number>();
  const ordered: number[] = [];
  const completed = new Map<string, unknown>();
  const queue = kept(new Queue('main', options));
  const limited = kept(new Queue('limited', options));
  const flows = kept(new FlowProducer(options));
  const events = kept(new QueueEvents('main', options));
  await events.waitUntilReady();
  events.on('completed', ({ jobId, returnvalue }) => completed.set(jobId, returnvalue));
  const work = async (job: Job): Promise<unknown> => {
    if (job.name === 'flaky' && job.attemptsMade === 0) throw new Error('once');
    done.set(String(job.id), (done.get(String(job.id)) ?? 0) + 1);
    if (job.name === 'parent') return Object.values(await job.getChildrenValues()).sort();
    return job.data.n ?? null;
  };
  const worker = kept(new Worker('main', work, { ...quick, concurrency: 5 }));
  const single = kept(
    new Worker('limited', async (job) => void ordered.push(job.data.n), {
      ...quick,
      concurrency: 1,
      limiter: { max: 20, duration: 200 },
    }),
  );
  await Promise.all([worker.waitUntilReady(), single.waitUntilReady()]);

  /** Jobs that a replica is known to have. */
  const safe = new Set<string>();
  let stop = false;
  const producing = (async () => {
    const asking = new Redis(connection);
    t.after(() => asking.disconnect());
    for (let n = 0; !stop; n++) {
      await eventually('the workers keep up', () => done.size > n - AHEAD, EVERYTHING_MS);
      try {
        const made = [await queue.add('plain', { n })];
        if (n % 10 === 0) made.push(await queue.add('later', { n }, { delay: 50 + n }));
        if (n % 15 === 0) {
          made.push(await queue.add('flaky', { n }, { attempts: 3, backoff: 20 }));
        }
        if (n % 20 === 0) made.push(await queue.add('urgent', { n }, { priority: 1 }));
        if (n % 5 === 0) await limited.add('in order', { n });
        // On the connection that carries a write, and after all the others were acknowledged.
        await asking.set(`${PREFIX}mark`, n);
        const replicas = await asking.wait(1, WAIT_MS);
        if (replicas === 1) for (const job of made) safe.add(String(job.id));
      } catch (error) {
        errors.push(String(error));
      }
    }
  })();
  const progress = async (): Promise<void> => {
    const before = done.size;
    await eventually('the work goes on', () => done.size > before + 20, EVERYTHING_MS);
  };
  const quiet = async (): Promise<void> => {
    await eventually(
      'everything is done',
      async () => {
        const counts = [
          await queue.getJobCounts('waiting', 'active', 'delayed', 'prioritized'),
          await limited.getJobCounts('waiting', 'active', 'delayed'),
        ];
        return counts.flatMap((c) => Object.values(c)).every((count) => count === 0);
      },
      EVERYTHING_MS,
    );
  };

  await progress();
  let [primary, replica] = [owner.primary, owner.replica];
  for (let round = 0; round < 3; round++) {
    await switchByPlan(running, cluster, owner, primary, replica);
    [primary, replica] = [replica, primary];
    await progress();
    await primary.link.command(['SCRIPT', 'FLUSH'], MS);
    await progress();
  }
  const { id } = (
    await flows.add({
      name: 'parent',
      queueName: 'main',
      children: [1, 2, 3].map((n) => ({ name: 'child', queueName: 'main', data: { n } })),
    })
  ).job;
  await eventually('the parent has its children', () => completed.has(String(id)), EVERYTHING_MS);
  assert.deepEqual(completed.get(String(id)), [1, 2, 3]);
  assert.deepEqual(errors, []);
  assert.deepEqual(
    [...done].filter(([, times]) => times > 1),
    [],
  );

  await killed(running, cluster, owner, primary, replica);
  await progress();
  stop = true;
  await producing;
  await quiet();
  for (const error of errors) assert.match(error, /OUTCOMEUNKNOWN|shard-lost/);
  assert.deepEqual(
    [...safe].filter((job) => !done.has(job)),
    [],
  );
  assert.deepEqual(
    ordered,
    [...ordered].sort((a, b) => a - b),
  );
  // A worker that is not told whether it could finish a job says that the job failed.
  const reasons = (await queue.getFailed()).map((job) => `${job.name}: ${job.failedReason}`);
  assert.deepEqual(
    reasons.filter((reason) => !/OUTCOMEUNKNOWN|shard-lost/.test(reason)),
    [],
  );
});

test('ioredis while primaries change', async (t) => {
  const cluster = await startShards(t, 2, true);
  const owner = ownerOf(cluster);
  const running = await startProxy({ shards: cluster.views, keys: { default: KEY }, workers: 2 });
  const made: Redis[] = [];
  t.after(async () => {
    for (const redis of made) redis.disconnect();
    await running.close();
  });
  const client = (): Redis => {
    const redis = new Redis({ host: '127.0.0.1', port: running.port, password: KEY });
    redis.on('error', () => undefined);
    made.push(redis);
    return redis;
  };
  const key = (name: string): string => `${PREFIX}${name}`;
  let stop = false;
  let rounds = 0;
  const unknown: string[] = [];
  /** One turn after another; what is not known is asked for anew by `sync`. */
  const loop = async (turn: () => Promise<void>, sync: () => Promise<void>): Promise<void> => {
    while (!stop) {
      try {
        await turn();
        rounds++;
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        unknown.push(String(error));
        await sync();
      }
    }
  };
  const counting = async (): Promise<void> => {
    const redis = client();
    let n = 0;
    await loop(
      async () => {
        assert.equal(await redis.incr(key('n')), n + 1);
        n++;
      },
      async () => {
        n = Number(await redis.get(key('n')));
      },
    );
  };
  const transactions = async (): Promise<void> => {
    const redis = client();
    let n = 0;
    await loop(
      async () => {
        const results = await redis.multi().incr(key('m')).incr(key('m')).exec();
        // WATCH is not used, so a change of primary is no reason for null.
        assert.deepEqual(results, [
          [null, n + 1],
          [null, n + 2],
        ]);
        n += 2;
      },
      async () => {
        n = Number(await redis.get(key('m')));
      },
    );
  };
  const pipelines = async (): Promise<void> => {
    const redis = client();
    await loop(
      async () => {
        const batch = redis.pipeline();
        for (let i = 0; i < 20; i++) batch.set(`${key('p')}${i % 3}`, i).get(`${key('p')}${i % 3}`);
        for (const [i, [error, value]] of ((await batch.exec()) ?? []).entries()) {
          if (error !== null) throw error;
          if (i % 2 === 1) assert.equal(value, String((i - 1) / 2));
        }
      },
      async () => undefined,
    );
  };
  const popped: number[] = [];
  const popping = async (): Promise<void> => {
    const redis = client();
    await loop(
      async () => {
        const got = await redis.blpop(key('list'), POP_S);
        if (got !== null) popped.push(Number(got[1]));
      },
      async () => undefined,
    );
  };
  let pushed = 0;
  const pushing = async (): Promise<void> => {
    const redis = client();
    await loop(
      async () => {
        await redis.rpush(key('list'), pushed + 1);
        pushed++;
        await eventually('it is popped', () => stop || popped.length > pushed - AHEAD);
      },
      async () => {
        pushed++;
      },
    );
  };
  const heard: string[] = [];
  const listener = client();
  listener.on('message', (_channel: string, message: string) => heard.push(message));
  await listener.subscribe('news');
  const speaker = client();
  const loops = Promise.all([counting(), transactions(), pipelines(), popping(), pushing()]);
  const progress = async (): Promise<void> => {
    const before = rounds;
    await eventually('all go on', () => rounds > before + 100, EVERYTHING_MS);
    const word = `${before}`;
    assert.equal(await speaker.publish('news', word), 1);
    await eventually('it is heard', () => heard.includes(word));
  };
  const over = loops.catch((error: unknown) => error);
  await progress();
  let [primary, replica] = [owner.primary, owner.replica];
  for (let round = 0; round < 4; round++) {
    await switchByPlan(running, cluster, owner, primary, replica);
    [primary, replica] = [replica, primary];
    await progress();
  }
  assert.deepEqual(unknown, []);
  await killed(running, cluster, owner, primary, replica);
  await progress();
  stop = true;
  await client().rpush(key('list'), 0);
  assert.ok(!((await over) instanceof Error), String(await over));
  for (const error of unknown) assert.match(error, /OUTCOMEUNKNOWN|shard-lost/);
  const once = popped.filter((n) => n > 0);
  assert.equal(new Set(once).size, once.length, 'something was popped twice');
});
