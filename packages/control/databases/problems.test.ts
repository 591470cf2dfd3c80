import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ShardRecord } from '../store/records.ts';
import { problemsOf } from './problems.ts';

const shard = (index: number, phase: ShardRecord['phase'], code: string) =>
  ({ index, phase, reason: { code, message: 'why' }, dataLost: null }) as ShardRecord;

test('what is wrong is said, and nothing else', () => {
  const well = {
    shards: [shard(0, 'serving', 'running')],
    listenProblem: null,
    unheld: [],
    failure: null,
    stalled: [],
    unstarted: [],
  };
  assert.deepEqual(problemsOf(well), []);
  const failure = { message: 'Port 8500 of an engine is held by another process' };
  const codes = (input: Parameters<typeof problemsOf>[0]) =>
    problemsOf(input).map(({ code, message }) => `${code}: ${message}`);
  assert.match(
    codes({ ...well, listenProblem: '127.0.0.1:10000: EADDRINUSE' }).join(),
    /unreachable.*10000/,
  );
  assert.match(
    codes({ ...well, unheld: [{ shard: 'db/1', reason: '127.0.0.1:8501: port-taken' }] }).join(),
    /shard-port-taken.* shard 1: 127.0.0.1:8501.*port of the cache/,
  );
  assert.deepEqual(codes({ ...well, failure }), [], 'a step that fails beside shards that serve');
  assert.match(
    codes({
      ...well,
      shards: [{ ...shard(0, 'promoting', 'promoting'), dataLost: { at: 0, message: 'It was.' } }],
    }).join(),
    /data-lost: Shard 0: It was. \(1970-.*flush/,
  );
  const full = { code: 'DiskFull', message: 'no space', since: 0 };
  assert.match(
    codes({ ...well, stalled: [{ shard: 0, failure: full }] }).join(),
    /shard-stalled: Shard 0 does not serve.*no room/,
  );
  const noPort = { code: 'NoFreePort', message: 'No port is free.', since: 0 };
  assert.match(
    codes({ ...well, unstarted: [{ shard: 0, failure: noPort }] }).join(),
    /replica-not-started: Shard 0 has a copy less.*NoFreePort.*No port is free/,
  );
  assert.match(
    codes({ ...well, shards: [shard(1, 'down', 'stopped')], failure }).join(),
    /shard-down: Shard 1 .*stopped.*Port 8500/,
  );
});
