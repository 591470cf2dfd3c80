/**
 * All kinds of calls (single, pipeline, MULTI, several keys, blocking, large ones), not awaited, while something goes
 * wrong at random. On each key what was asked for earlier comes earlier, what was acknowledged is there once, what was
 * said not to have run is not there, and no acknowledged value is overwritten by an older one.
 *
 * Of what nobody knows whether it ran this cannot be said. A server that is busy has the bytes of a connection that is
 * gone, and comes to them after what was sent over another one later: no client can see that. So those are only looked
 * at for running twice.
 */
import assert from 'node:assert/strict';
import { Redis } from 'ioredis';
import { calling, type KitError, lanes, lanesOf } from '../index.ts';
import type { AnyClient, Kind } from './clients.ts';
import { ask } from './server.ts';
import { until } from './until.ts';

const RUN_MS = 2_500;
/** Lists, and as many values, of each home. */
const KEYS = 5;
const LARGE = 'L'.repeat(120_000);

/** mulberry32 */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Codes by which the kit says that a call has not run. */
const neverRan = new Set([
  'ERR_CLIENT_OFFLINE',
  'ERR_CLIENT_QUEUE_FULL',
  'ERR_CLIENT_CIRCUIT_OPEN',
  'ERR_CLIENT_FACTORY',
]);

interface Wish {
  readonly token: number;
  /** For messages: what kind of call it was. */
  how: string;
  fate: 'acknowledged' | 'never ran' | 'unknown';
}

/** Keys that belong together, and the server that has them. */
export interface Home {
  readonly tag: string;
  port: number;
}

/** A tag for each node of a cluster; `word` is what they begin with. */
export async function homesOf(ports: readonly number[], word = 'o'): Promise<Home[]> {
  const homes: Home[] = [];
  for (let i = 0; homes.length < ports.length; i += 1) {
    const tag = `${word}${i}`;
    const slot = /\d+/.exec(await ask(ports[0] ?? 0, 'CLUSTER', 'KEYSLOT', tag))?.[0];
    const port = ports[Math.floor(Number(slot) / Math.ceil(16_384 / ports.length))] ?? 0;
    if (!homes.some((home) => home.port === port)) homes.push({ tag, port });
  }
  return homes;
}

class Workload {
  /** Of each list, in the order in which they were asked for. */
  readonly pushes: Wish[][];
  /** Of each value that is set, by calls that may be made twice. */
  readonly sets: Wish[][];
  readonly errors = new Map<string, number>();
  readonly under: Promise<void>[] = [];
  /** Of those that have not ended. */
  readonly open = new Map<Promise<unknown>, string>();
  readonly wrong: string[] = [];
  calls = 0;
  #token = 0;
  readonly #kind: Kind;
  readonly #redis: AnyClient & object;
  readonly #again: AnyClient & object;
  readonly #random: () => number;

  readonly #homes: readonly Home[];

  constructor(kind: Kind, redis: AnyClient & object, rand: () => number, homes: readonly Home[]) {
    this.pushes = Array.from({ length: homes.length * KEYS }, () => []);
    this.sets = Array.from({ length: homes.length * KEYS }, () => []);
    this.#homes = homes;
    this.#kind = kind;
    this.#redis = redis;
    this.#again = calling(redis, { idempotent: true });
    this.#random = rand;
  }

  #pick(): number {
    return Math.floor(this.#random() * KEYS);
  }

  #wish(list: Wish[]): Wish {
    this.#token += 1;
    const wish: Wish = { token: this.#token, how: '', fate: 'unknown' };
    list.push(wish);
    return wish;
  }

  /** `part`: the reply that stands for the i-th wish. */
  #watch(how: string, wishes: readonly Wish[], run: () => Promise<unknown>): void {
    this.calls += 1;
    for (const wish of wishes) wish.how = how;
    const failed = (wish: Wish, error: unknown): void => {
      const code = (error as KitError).code ?? String(error).slice(0, 60);
      this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
      wish.fate = neverRan.has(code) ? 'never ran' : 'unknown';
    };
    const made = run();
    this.open.set(made, `${how} ${wishes.map(({ token }) => token).join()}`);
    const over = (): void => void this.open.delete(made);
    made.then(over, over);
    const done = made.then(
      (reply) => {
        for (const [i, wish] of wishes.entries()) {
          const own: unknown = Array.isArray(reply) ? reply[i] : reply;
          if (own instanceof Error) failed(wish, own);
          else wish.fate = 'acknowledged';
        }
      },
      (error: unknown) => {
        for (const wish of wishes) failed(wish, error);
      },
    );
    this.under.push(done);
  }

  step(): void {
    const kind = this.#kind;
    const redis = this.#redis;
    const home = Math.floor(this.#random() * this.#homes.length);
    const tag = this.#homes[home]?.tag;
    const first = home * KEYS;
    const a = first + this.#pick();
    const list = (i: number): string => `{${tag}}list:${i}`;
    const pushed = (i: number): Wish => this.#wish(this.pushes[i] as Wish[]);
    const rpush = (i: number, wish: Wish): string[] => ['rpush', list(i), String(wish.token)];
    const dice = this.#random();
    if (dice < 0.35) {
      const wish = pushed(a);
      this.#watch('call', [wish], () => kind.call(redis, ...rpush(a, wish)));
    } else if (dice < 0.55) {
      const wish = this.#wish(this.sets[a] as Wish[]);
      const value = this.#random() < 0.1 ? `${wish.token} ${LARGE}` : String(wish.token);
      this.#watch('set', [wish], () => this.#again.set(`{${tag}}value:${a}`, value));
    } else if (dice < 0.6) {
      const newest = newestOf(this.sets[a] as Wish[]);
      this.#watch('get', [], async () => {
        const seen = tokenOf(await redis.get(`{${tag}}value:${a}`));
        if (seen < newest)
          this.wrong.push(`read ${seen} of value ${a} after ${newest} was acknowledged`);
      });
    } else if (dice < 0.65) {
      this.#watch('read', [], () => kind.call(redis, 'LRANGE', list(a), '-3', '-1'));
    } else if (dice < 0.85) {
      const b = first + this.#pick();
      const wishes = [pushed(a), pushed(b)];
      const commands = [rpush(a, wishes[0] as Wish), rpush(b, wishes[1] as Wish)];
      const how = dice < 0.75 ? ('pipeline' as const) : ('multi' as const);
      this.#watch(how, wishes, () => kind[how](redis, commands));
    } else if (dice < 0.95) {
      const b = first + ((a + 1) % KEYS);
      const wishes = [pushed(a), pushed(b)];
      const script =
        "redis.call('RPUSH',KEYS[1],ARGV[1]) return redis.call('RPUSH',KEYS[2],ARGV[2])";
      const tokens = wishes.map(({ token }) => String(token));
      const all = kind.library === 'redis' && kind.name.includes('cluster');
      // By its keys, as a cluster client of node-redis is told of them.
      this.#watch('script', wishes, () =>
        all
          ? (redis as unknown as Evals).eval(script, {
              keys: [list(a), list(b)],
              arguments: tokens,
            })
          : kind.call(redis, 'EVAL', script, '2', list(a), list(b), ...tokens),
      );
    } else {
      // Takes what it pushes: the order of the list stays.
      const wish = pushed(a);
      this.#watch('before blocking', [wish], () => kind.call(redis, ...rpush(a, wish)));
      this.#watch('blocking', [], () =>
        kind.call(redis, 'BLMOVE', list(a), list(a), 'RIGHT', 'RIGHT', '1'),
      );
    }
  }
}

function newestOf(sets: readonly Wish[]): number {
  return sets.findLast(({ fate }) => fate === 'acknowledged')?.token ?? 0;
}

/** A value begins with its token. */
function tokenOf(value: string | null | undefined): number {
  return Number.parseInt(value ?? '0', 10);
}

interface Evals {
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
}

async function check(work: Workload, homes: readonly Home[]): Promise<void> {
  assert.deepEqual(work.wrong, []);
  for (const [home, { tag, port }] of homes.entries()) {
    const plain = new Redis(port);
    try {
      for (let i = home * KEYS; i < (home + 1) * KEYS; i += 1) {
        const list = await plain.lrange(`{${tag}}list:${i}`, 0, -1);
        checkList(i, work.pushes[i] as Wish[], list.map(Number));
        checkValue(i, work.sets[i] as Wish[], tokenOf(await plain.get(`{${tag}}value:${i}`)));
      }
    } finally {
      plain.disconnect();
    }
  }
}

function checkList(i: number, wishes: readonly Wish[], there: readonly number[]): void {
  const known = new Map(wishes.map((wish) => [wish.token, wish]));
  const set = new Set(there);
  assert.equal(set.size, there.length, `list ${i}: something ran twice`);
  const sure = there.filter((token) => known.get(token)?.fate !== 'unknown');
  const swapped = sure.findIndex((token, at) => at > 0 && token < (sure[at - 1] as number));
  const around = sure
    .slice(Math.max(0, swapped - 4), swapped + 4)
    .map((token) => `${token} ${known.get(token)?.how}`)
    .join('; ');
  assert.equal(swapped, -1, `list ${i}: out of order, ${around}`);
  for (const token of there) assert.notEqual(known.get(token)?.fate, 'never ran', `${token}`);
  for (const { token, fate } of wishes)
    if (fate === 'acknowledged') assert.ok(set.has(token), `list ${i}: ${token} is not there`);
}

function checkValue(i: number, sets: readonly Wish[], value: number): void {
  const newest = newestOf(sets);
  const fate = sets.find(({ token }) => token === value)?.fate;
  const said = `value ${i}: ${newest} was acknowledged, and ${value} (${fate}) is there`;
  assert.ok(value >= newest || fate === 'unknown', said);
  assert.notEqual(fate, 'never ran');
}

/**
 * `make`: the factory of the client that is tested; `calm`: after the last call. Answers what happened, for the test's
 * report.
 */
export async function loadInDisorder(
  kind: Kind,
  make: () => AnyClient & object,
  seed: number,
  fault: (rand: () => number) => void,
  homes: readonly Home[],
  calm: () => Promise<void> = async () => {},
): Promise<string> {
  const rand = random(seed);
  const redis = lanes(make, {
    choose: seed % 2 === 0 ? 'round-robin' : 'least-outstanding',
    small: { min: 1 + (seed % 3), max: 4 },
    retries: { breaker: false, attempts: 20, baseMs: 5, capMs: 20 },
    deadlines: false,
  });
  await kind.connect(redis);
  const work = new Workload(kind, redis, rand, homes);
  const end = performance.now() + RUN_MS;
  let faults = 0;
  while (performance.now() < end) {
    const many = 1 + Math.floor(rand() * 12);
    for (let i = 0; i < many; i += 1) work.step();
    if (rand() < 0.06) {
      faults += 1;
      fault(rand);
    }
    await new Promise<void>((done) => (rand() < 0.7 ? setImmediate(done) : setTimeout(done, 1)));
  }
  let over = false;
  void Promise.all(work.under).then(() => {
    over = true;
  });
  // A cluster client that lost its nodes looks for them at its own pace.
  await until(() => over, 60_000).catch((error: Error) => {
    const open = [...work.open.values()].slice(0, 10).join('; ');
    throw new Error(
      `${error.message}: ${[...work.errors]}; ${open}; ${JSON.stringify(lanesOf(redis))}`,
    );
  });
  await kind.close(redis);
  await calm();
  await check(work, homes);
  const said = [...work.errors].map(([code, count]) => `${code} ${count}`).join(', ');
  return `${work.calls} calls, ${faults} cuts; ${said}`;
}
