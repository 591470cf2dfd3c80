/** How far replicas are: which answers of an engine count for which question. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { eventually } from '../../engine/testing.ts';
import type { Session } from './session.ts';
import type { Shard } from './shard.ts';
import { askStanding, type StandingQuestion, standingOf } from './standing.ts';
import type { Earlier } from './unconfirmed.ts';
import type { Reached } from './wait.ts';

function info(offset: number, replicas: readonly [string, number][], role = 'master'): Buffer {
  const lines = [
    '# Replication',
    `role:${role}`,
    ...replicas.map(
      ([state, at], i) => `slave${i}:ip=::1,port=1,state=${state},offset=${at},lag=0,type=replica`,
    ),
    'master_replid:aa',
    'master_replid2:bb',
    `master_repl_offset:${offset}`,
    'second_repl_offset:-1',
  ];
  const text = lines.map((line) => `${line}\r\n`).join('');
  return Buffer.from(`$${text.length}\r\n${text}\r\n`);
}

test('what INFO says: replicas in sync, of a primary only', () => {
  const at = { stream: 'aa', offset: 90 };
  const two = info(90, [
    ['online', 80],
    ['wait_bgsave', 90],
    ['online', 90],
  ]);
  assert.deepEqual(standingOf(two), { ...at, confirmed: [80, 90] });
  assert.deepEqual(standingOf(info(90, [])), { ...at, confirmed: [] });
  assert.equal(standingOf(info(90, [], 'slave')), null);
});

test('whatever an engine answers, it is read or it is not', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      standingOf(Buffer.from(`$${Buffer.byteLength(text)}\r\n${text}\r\n`));
    }),
  );
});

/** A shard with one lane, whose questions are answered by hand. */
function shardByHand() {
  const asked: ((reply: Buffer | null) => void)[] = [];
  const lane = {
    node: 'p',
    question: (_: unknown, done: (reply: Buffer | null) => void) => asked.push(done),
  };
  const shard = { lineage: 0, view: { primary: { node: 'p' } }, smallLane: () => lane };
  const group = {};
  const session = { gone: false, lanes: { groupOf: () => group }, proxy: { view: {} } };
  const ask = (ms: number, change: Partial<StandingQuestion> = {}) => {
    const earlier = { shard: shard as unknown as Shard, lineage: 0, place: null } as Earlier<Shard>;
    const answers: Reached[] = [];
    askStanding({
      earlier,
      wanted: 1,
      until: performance.now() + ms,
      session: session as unknown as Session,
      done: (reached) => answers.push(reached),
      ...change,
    });
    return answers;
  };
  const next = async (reply: Buffer | null): Promise<void> => {
    await eventually('it is asked', () => asked.length > 0);
    asked.shift()?.(reply);
  };
  return { shard, ask, next };
}
const LONG_MS = 60_000;

test('an answer that was asked for before a question came says nothing about its place', async () => {
  const { ask, next } = shardByHand();
  const first = ask(LONG_MS);
  // Asked for already; this one may be about a write that is behind it.
  const second = ask(LONG_MS);
  await next(info(100, [['online', 100]]));
  assert.deepEqual([first, second], [[[1]], []]);
  await next(info(150, [['online', 149]]));
  assert.deepEqual(second, []);
  await next(info(160, [['online', 150]]));
  assert.deepEqual(second, [[1]], 'its place stays where it was');
});

test('in time nobody knows more: that is what is answered', async () => {
  const { ask, next } = shardByHand();
  const late = ask(0);
  assert.deepEqual(late, [], 'first its place has to be read');
  await next(null);
  await next(info(100, [['online', 99]]));
  assert.deepEqual(late, [[0]]);
});

test('another stream took its place: unknown; a planned switch: the new primary was a replica', async () => {
  const { shard, ask, next } = shardByHand();
  const lost = ask(LONG_MS);
  shard.lineage++;
  await next(info(100, [['online', 100]]));
  assert.deepEqual(lost, [null]);
  const earlier = {
    shard: shard as unknown as Shard,
    lineage: 1,
    place: { stream: 'bb', offset: 100 },
  };
  const planned = ask(LONG_MS, { earlier });
  await next(info(100, []));
  assert.deepEqual(planned, [[1]]);
});

test('who may not ask hears that nothing is known; an engine that is no primary any more says nothing', async () => {
  const { ask, next } = shardByHand();
  const refused = ask(LONG_MS);
  await next(info(100, [['online', 100]], 'slave'));
  assert.deepEqual(refused, []);
  await next(Buffer.from('-NOPERM no\r\n'));
  assert.deepEqual(refused, [null]);
});
