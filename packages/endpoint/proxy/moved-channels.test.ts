/**
 * Slots change hands while clients listen: sharded messages come once and in order, and whoever subscribes
 * meanwhile is subscribed; keyspace events are those of clients' writes and no others.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { keySlot } from '../../resp/index.ts';
import type { ShardView } from '../control-protocol.ts';
import { type RunningProxy, startProxy, WORKER_COUNTS } from './testing.ts';
import { KEY, moveSlots, RawClient, startShards, type TestShards } from './testing-engines.ts';

const MS = 3000;
const ROUNDS = 4;
const CHANNEL = 'c';
const SLOT = keySlot(Buffer.from(CHANNEL));
const SOME = 50;
const STILL = 20;
const EVENTS = '__keyspace@0__:*';

/** Sends the next command when the last one was answered; what it sends is up to its number. */
class Loop {
  sent = 0;
  readonly answers = new Set<string>();
  #stop = false;
  readonly #done: Promise<void>;
  readonly #client: RawClient;

  constructor(
    client: RawClient,
    commands: (n: number) => readonly (readonly string[])[],
    whole = /\r\n$/,
  ) {
    this.#client = client;
    this.#done = (async () => {
      while (!this.#stop) {
        client.received = Buffer.alloc(0);
        for (const command of commands(this.sent + 1)) client.send(command);
        do await once(client.socket, 'data');
        while (!whole.test(client.received.toString()));
        this.answers.add(client.received.toString());
        this.sent++;
      }
    })();
  }

  async end(): Promise<void> {
    this.#stop = true;
    await this.#done;
    this.#client.close();
  }
}

/** Publishes by a command, by scripts, and in transactions. */
const PUBLISHERS: readonly {
  readonly by: string;
  readonly commands: (message: string) => readonly (readonly string[])[];
  readonly whole?: RegExp;
  /** As a client is answered; a script has the engine's own count, which is not about clients. */
  readonly answer?: string;
}[] = [
  { by: 'SPUBLISH', commands: (m) => [['SPUBLISH', CHANNEL, m]], answer: ':4\r\n' },
  {
    by: 'a script',
    commands: (m) => [['EVAL', "return redis.call('sPublish', KEYS[1], ARGV[1])", '1', CHANNEL, m]],
  },
  {
    by: 'MULTI',
    commands: (m) => [['MULTI'], ['SPUBLISH', CHANNEL, m], ['EXEC']],
    whole: /\*1\r\n.*\r\n$|^-.*\r\n$/s,
    answer: '+OK\r\n+QUEUED\r\n*1\r\n:4\r\n',
  },
];

/** The slot is with the second of two shards. */
function movedViews([first, second]: readonly ShardView[]): ShardView[] {
  assert.ok(first && second);
  const [[from, to] = [0, 0]] = first.slots;
  assert.ok(from < SLOT && SLOT < to);
  return [
    {
      ...first,
      slots: [
        [from, SLOT - 1],
        [SLOT + 1, to],
      ],
    },
    { ...second, slots: [...second.slots, [SLOT, SLOT]] },
  ];
}

/** The slot goes from its first shard to the other, or back; the snapshot follows when all has gone on. */
async function moves({ shards, views }: TestShards, running: RunningProxy, loops: Loop[]) {
  const goOn = async (): Promise<void> => {
    const before = loops.map(({ sent }) => sent);
    const all = (): boolean => loops.every(({ sent }, i) => sent > (before[i] ?? 0) + SOME);
    await eventually('all go on', all, 15_000);
  };
  const [home, other] = shards;
  assert.ok(home && other);
  const away = movedViews(views);
  for (let round = 0; round < ROUNDS; round++) {
    const back = round % 2 === 1;
    await goOn();
    const [a, b] = back ? [other, home] : [home, other];
    await moveSlots(a.primary, b.primary, SLOT, SLOT);
    await goOn();
    running.apply({ shards: back ? views : away });
  }
  await goOn();
}

for (const workers of WORKER_COUNTS) {
  test(`sharded channels whose slot moves, ${workers} worker(s)`, async (t) => {
    const cluster = await startShards(t, 2);
    const running = await startProxy({ shards: cluster.views, keys: { default: KEY }, workers });
    t.after(() => running.close());
    const listeners: RawClient[] = [];
    for (const protocol of [2, 3, 2, 3] as const) {
      const client = await RawClient.open(running.port, protocol);
      client.send(['SSUBSCRIBE', CHANNEL]);
      await eventually('it listens', () => client.received.includes(':1\r\n'));
      client.received = Buffer.alloc(0);
      listeners.push(client);
    }
    const loops: Loop[] = [];
    for (let i = 0; i < workers * PUBLISHERS.length; i++) {
      const client = await RawClient.open(running.port);
      const { commands, whole } = PUBLISHERS[i % PUBLISHERS.length] as (typeof PUBLISHERS)[number];
      loops.push(new Loop(client, (n) => commands(`<${i} ${n}>`), whole));
    }
    const names = (n: number): string[][] => [
      n % 2 === 0 ? ['SUNSUBSCRIBE'] : ['SSUBSCRIBE', `{${CHANNEL}}${n % 9}`],
    ];
    const subscriber = new Loop(await RawClient.open(running.port), names);
    await moves(cluster, running, [...loops, subscriber]);
    for (const loop of [...loops, subscriber]) await loop.end();
    for (const [i, client] of listeners.entries()) {
      for (const [j, { sent, answers }] of loops.entries()) {
        const heard = (): number[] =>
          [...client.received.toString().matchAll(new RegExp(`<${j} (\\d+)>`, 'g'))].map(([, n]) =>
            Number(n),
          );
        await eventually('the last one came', () => heard().includes(sent));
        const all = Array.from({ length: sent }, (_, n) => n + 1);
        const { by, answer } = PUBLISHERS[j % PUBLISHERS.length] ?? {};
        assert.deepEqual(heard(), all, `listener ${i}, publisher ${j}, by ${by}`);
        if (answer !== undefined) assert.deepEqual([...answers], [answer]);
      }
      client.close();
    }
    for (const answer of subscriber.answers) assert.match(answer, /^\*3\r\n\$\d+\r\ns(un)?sub/);
  });

  test(`keyspace events while keys move, ${workers} worker(s)`, async (t) => {
    const cluster = await startShards(t, 2);
    for (const { primary } of cluster.shards) {
      await primary.link.command(['CONFIG', 'SET', 'notify-keyspace-events', 'KEA'], MS);
    }
    const running = await startProxy({ shards: cluster.views, keys: { default: KEY }, workers });
    t.after(() => running.close());
    const open = (): Promise<RawClient> => RawClient.open(running.port);
    const setup = await open();
    for (let i = 0; i < STILL; i++) await setup.ask('SET', `{${CHANNEL}}still${i}`, 'x');
    const listeners: RawClient[] = [];
    for (const words of [
      ['PSUBSCRIBE', EVENTS],
      ['SUBSCRIBE', '__keyevent@0__:set'],
    ]) {
      // At each worker in turn.
      for (let i = 0; i < workers; i++) {
        const client = await open();
        client.send(words);
        await eventually('it listens', () => client.received.includes(':1\r\n'));
        client.received = Buffer.alloc(0);
        listeners.push(client);
      }
    }
    const loops: Loop[] = [];
    for (let i = 0; i < workers; i++) {
      loops.push(new Loop(await open(), (n) => [['SET', `{${CHANNEL}}w${i}`, `${n}`]]));
    }
    await moves(cluster, running, loops);
    for (const loop of loops) await loop.end();
    await setup.ask('SET', `{${CHANNEL}}end`, 'x');
    for (const client of listeners) {
      await eventually('the last one came', () => client.received.includes(`{${CHANNEL}}end`));
      const text = client.received.toString();
      for (const [i, { sent }] of loops.entries()) {
        assert.equal(text.split(`{${CHANNEL}}w${i}\r\n`).length - 1, sent, 'each write once');
      }
      assert.doesNotMatch(text, /still/);
      client.close();
    }
    setup.close();
  });
}

test('who is gone before it is confirmed leaves nothing in the engine', async (t) => {
  const { shards, views } = await startShards(t, 1);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const [shard] = shards;
  assert.ok(shard !== undefined);
  // Otherwise the last name to go closes the connection.
  const stays = await RawClient.open(running.port);
  stays.send(['SUBSCRIBE', 'stays']);
  await eventually('it listens', () => stays.received.includes(':1\r\n'));
  const { pid } = shard.primary.process;
  process.kill(pid, 'SIGSTOP');
  try {
    for (const word of ['SUBSCRIBE', 'SSUBSCRIBE', 'PSUBSCRIBE']) {
      const client = await RawClient.connect(running.port);
      client.send(['AUTH', KEY], [word, 'goes']);
      const asked = (): boolean =>
        running.clients().some(({ lastCommand }) => lastCommand === word.toLowerCase());
      await eventually('it is asked for', asked);
      client.socket.resetAndDestroy();
      await eventually('it is gone', () => running.proxy.sessions.size === 1);
    }
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await eventually('only the other is there', async () => {
    const ask = (...words: string[]): Promise<unknown> =>
      shard.primary.link.command(['PUBSUB', ...words], MS);
    const lists = await Promise.all([ask('CHANNELS'), ask('SHARDCHANNELS'), ask('NUMPAT')]);
    return String(lists) === 'stays,,0';
  });
  stays.close();
});

test('a shard that leaves is not listened to any more, and one that comes back is', async (t) => {
  const { shards, views } = await startShards(t, 2);
  const [home, other] = shards;
  const [first] = views;
  assert.ok(home && other && first);
  for (const { primary } of shards) {
    await primary.link.command(['CONFIG', 'SET', 'notify-keyspace-events', 'KEA'], MS);
  }
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const [client, writer] = await Promise.all([
    RawClient.open(running.port),
    RawClient.open(running.port),
  ]);
  client.send(['PSUBSCRIBE', EVENTS]);
  await eventually('it listens', () => client.received.includes(':1\r\n'));
  const [key, slot] = ['{a}1', keySlot(Buffer.from('a'))];
  const [[from, last] = [0, 0]] = views[1]?.slots ?? [];
  // An engine that has no slot left follows another one.
  const to = last - 1;
  assert.ok(from < slot && slot < to);
  await moveSlots(other.primary, home.primary, from, to);
  running.apply({ shards: [{ ...first, slots: [[0, to]] }] });
  const listened = async (): Promise<boolean> => {
    const list = await other.primary.link.command(['CLIENT', 'LIST', 'TYPE', 'pubsub'], MS);
    return String(list).includes(' psub=1 ');
  };
  await eventually('nobody listens there', async () => !(await listened()));
  assert.equal(await writer.ask('SET', key, 'x'), '+OK\r\n');
  await moveSlots(home.primary, other.primary, from, to);
  running.apply({ shards: views });
  // As long before it is given slots as scaling takes to make a shard.
  await eventually('it is listened to', listened);
  assert.equal(await writer.ask('DEL', key), ':1\r\n');
  const heard = (): string[] =>
    [...client.received.toString().matchAll(/\$3\r\n(set|del)\r\n/g)].map(([, word = '']) => word);
  await eventually(`both are heard; got ${heard()}`, () => heard().length >= 2);
  assert.deepEqual(heard(), ['set', 'del']);
  assert.deepEqual(
    running.events.filter((event) => 'limit' in event),
    [],
  );
  client.close();
  writer.close();
});

test('one worker has the snapshot before the other', async (t) => {
  const { shards, views } = await startShards(t, 2);
  const [home, other] = shards;
  assert.ok(home && other);
  await other.primary.link.command(['CONFIG', 'SET', 'notify-keyspace-events', 'KEA'], MS);
  const running = await startProxy({ shards: views, keys: { default: KEY }, workers: 2 });
  t.after(() => running.close());
  const clients = [await RawClient.open(running.port), await RawClient.open(running.port)];
  const [first, second] = running.proxies;
  assert.ok(first && second);
  assert.deepEqual([first.sessions.size, second.sessions.size], [1, 1]);
  // Clients come to the workers in turn, and the first one to the second.
  const [writer, listener] = clients;
  assert.ok(writer && listener);
  listener.send(['PSUBSCRIBE', EVENTS]);
  await eventually('it listens', () => listener.received.includes(':1\r\n'));
  await moveSlots(home.primary, other.primary, SLOT, SLOT);
  second.apply({ ...running.view, shards: movedViews(views) }, 2);
  assert.equal(await writer.ask('SET', CHANNEL, 'x'), '+OK\r\n');
  await eventually('it is heard', () => listener.received.includes('$3\r\nset\r\n'));
  for (const client of clients) client.close();
});
